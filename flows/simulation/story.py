"""What a story tells: its steps with what was expected of them, and a table at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from flows.simulation.stage import MODEL
from flows.terminal import console


@dataclass(frozen=True)
class Step:
    """One step of a story."""

    planted: str
    noticed: str
    champion: str
    """Before and after."""
    as_told: bool
    seconds: float


@dataclass
class Story:
    """Steps as they happen."""

    corpus: Path
    recipe: Path
    steps: list[Step] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _before: str = "none"
    _step_began: float = field(default_factory=time.monotonic)

    def plant(self, text: str) -> None:
        """Say what is planted now."""
        self._before = self.champion()
        self._step_began = time.monotonic()
        console.rule(style="bold")
        console.print(f"[bold]{len(self.steps) + 1}. {text}[/]")

    def ended(self, planted: str, noticed: str, *, as_told: bool) -> None:
        """Note how the step ended."""
        after = self.champion()
        champion = after if after == self._before else f"{self._before} -> {after}"
        self.steps.append(Step(planted, noticed, champion, as_told, time.monotonic() - self._step_began))
        console.print(f"[bold]{'as told' if as_told else 'NOT as told'}[/]: {escape(noticed)}")

    def champion(self) -> str:
        """Version that is served now."""
        from tasks.stage.workspace import workspace

        row = workspace().catalogue.champion(MODEL)
        return "none" if row is None else f"v{row.version}"

    def flow(self, name: str, **options: Any) -> Any:
        """Run a real flow, `module:function`, over the corpus; returns its result."""
        from importlib import import_module

        from flows.options import DriftOptions, RefreshOptions, RetrainOptions
        from flows.supervision.watched_run import run_watched

        kinds: dict[str, type[RetrainOptions]] = {
            "drift": DriftOptions,
            "refresh": RefreshOptions,
            "retrain": RetrainOptions,
        }
        module, _, function = name.partition(":")
        flow = getattr(import_module(module), function)
        made = kinds[function].model_validate(
            {"recipe": str(self.recipe), "corpus": str(self.corpus), "model": MODEL, **options}
        )
        return run_watched(flow, made)

    def tell(self, title: str) -> bool:
        """The table of all steps; returns whether all ended as told."""
        table = Table(
            title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False
        )
        table.add_column("", no_wrap=True)
        table.add_column("planted", ratio=3)
        table.add_column("what noticed it, what was refused", ratio=5)
        table.add_column("champion", no_wrap=True)
        table.add_column("s", justify="right", no_wrap=True)
        for number, step in enumerate(self.steps, start=1):
            mark = "" if step.as_told else " !"
            table.add_row(f"{number}{mark}", step.planted, step.noticed, step.champion, f"{step.seconds:.0f}")
        console.rule(style="bold")
        console.print(table)
        good = all(step.as_told for step in self.steps)
        seconds = time.monotonic() - self.began
        console.print(
            f"{'ended as told' if good else 'some steps (!) did not end as told'} in {seconds:.0f} s; champion {self.champion()}"
        )
        return good
