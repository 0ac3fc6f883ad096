"""The whole retraining flow in this process, in about a second, without servers: what faults are injected into hundreds of times.

Flow code, tasks, stages, catalogue, store and gate are the real ones; only Prefect is left out (its tasks are called as plain
functions, one after the other), and MLflow is an address where nobody answers, so that its events wait in the spool.

    home = SmallHome(folder)
    with plainly():
        home.run()
    check_invariants(home.settings, recovered=True)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from prefect import Task
from prefect.artifacts import Artifact
from refresh_corpus import make_corpus

from flows.options import RetrainOptions
from flows.progress import StepProgress
from flows.retrain import RetrainReport, retrained
from infra.settings import Settings, load_settings
from infra.tracking import Tracker

RECIPE = """
name: small
emotions: [neutral, angry, happy]
folds: {count: 2, use_published: false, seed: 2}
visual:
  features: {modality: visual, source: "files:faces-UTT"}
fusion: {model: concat, hidden: 32, epochs: 12, checkpoint_epochs: 4, learning_rate: 0.01}
gate: {resamples: 200}
"""
NOBODY = "http://127.0.0.1:9"
"""An MLflow that is down: nothing listens on this port."""


class _Done:
    """A future whose task has run."""

    _final_state = True
    """As Prefect's `as_completed` asks for it."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def wait(self, timeout: float | None = None) -> None:
        pass

    def result(self) -> Any:
        return self._value


@contextmanager
def plainly() -> Iterator[None]:
    """Call tasks as plain functions inside the block, where they are submitted too."""

    def call(task: Task[Any, Any], *args: Any, **options: Any) -> Any:
        return task.fn(*args, **options)

    def submit(task: Task[Any, Any], *args: Any, **options: Any) -> _Done:
        return _Done(task.fn(*args, **options))

    replaced: list[tuple[Any, str, Any]] = [
        (Task, "__call__", call),
        (Task, "submit", submit),
        (Artifact, "create", lambda *_, **__: SimpleNamespace(id=None)),
        (StepProgress, "_show_bar", lambda _: None),
        (Tracker, "reachable", lambda _: True),  # else nothing is promoted
    ]
    before = [getattr(owner, name) for owner, name, _ in replaced]
    for owner, name, value in replaced:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name, _), value in zip(replaced, before, strict=True):
            setattr(owner, name, value)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables of the process inside the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class SmallHome:
    """A home and a corpus of precomputed features, in one folder."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    """More settings, `MER_...`."""

    def __post_init__(self) -> None:
        if not self.corpus.exists():
            make_corpus(self.corpus, speakers=10, labelled=9, canary=6)
            (self.folder / "small.yaml").write_text(RECIPE, encoding="utf-8")

    @property
    def corpus(self) -> Path:
        """Its corpus."""
        return self.folder / "corpus"

    @property
    def environment(self) -> dict[str, str]:
        """What the environment says in it."""
        return {
            "MER_HOME": str(self.folder / "home"),
            "MER_MLFLOW_TRACKING_URI": NOBODY,
            "MER_COMPUTE_THREADS": "1",
            **self.variables,
        }

    @property
    def settings(self) -> Settings:
        """Its settings."""
        with environment(self.environment):
            return load_settings()

    def options(self) -> RetrainOptions:
        """What a run is started with."""
        return RetrainOptions(
            recipe=str(self.folder / "small.yaml"), corpus=str(self.corpus), corpus_name="small"
        )

    def run(self) -> RetrainReport:
        """One retraining, in this process and inside of `plainly`; stores are opened anew, as by a new process."""
        from tasks.stage import workspace as opened

        with environment(self.environment):
            opened._open.clear()
            try:
                return retrained(self.options())
            finally:
                for space in opened._open.values():
                    space.catalogue.close()
                opened._open.clear()

    def add_clips(self, batch: str, clips: int, seed: int) -> None:
        """More labelled clips of speakers of their own."""
        import csv

        from refresh_corpus import EMOTIONS, write_features, write_table

        names = [f"{batch}_{number:03d}" for number in range(clips)]
        truth = write_features(self.corpus, names, seed=seed)
        table = (self.corpus / "labels.csv").read_text(encoding="utf-8")
        rows = list(csv.DictReader(table.splitlines()))
        rows += [
            {
                "name": name,
                "emotion": EMOTIONS[kind],
                "speaker": f"{batch}_{number % 2}",
                "split": "train",
                "fold": "",
            }
            for number, (name, kind) in enumerate(zip(names, np.asarray(truth), strict=True))
        ]
        write_table(self.corpus, rows)
