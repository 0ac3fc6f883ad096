"""What `mer run` itself gives: its report, its out-of-fold answers, and what it cost.

The command runs as a user types it, in a home of its own where none is named; what it registered is read from that home.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.spending import Spent, spent

if TYPE_CHECKING:
    from mer.posteriors import Posteriors


@dataclass(frozen=True)
class RunResult:
    """One `mer run`."""

    report: dict[str, Any]
    """As `report.json` of the evaluation."""
    out_of_fold: Posteriors
    """Of the served system."""
    spent: Spent


def run_options(made: ArgumentParser, recipe: str) -> None:
    """Add the options of benchmarks that run a recipe."""
    made.add_argument("--recipe", default=recipe, help=f"recipe or its YAML file; left out: {recipe}")
    made.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="as `mer run` takes it"
    )
    made.add_argument(
        "--home", type=Path, help="data folder, whose stages are found again; left out: an empty one"
    )


def words_of(chosen: Namespace) -> list[str]:
    """The recipe and its settings as words of the command."""
    return ["--recipe", chosen.recipe, *(word for value in chosen.set for word in ("--set", value))]


@contextmanager
def home_of(chosen: Namespace) -> Iterator[Path]:
    """The data folder; an empty one is removed in the end."""
    if chosen.home is not None:
        yield chosen.home.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="mer-home-") as folder:
        yield Path(folder) / "home"


def run(corpus: Path, name: str, words: Sequence[str], home: Path) -> RunResult:
    """Run a recipe over a corpus.

    Args:
        corpus: its folder.
        name: of the corpus and of the model.
        words: further words of the command.
        home: data folder.

    Raises:
        RuntimeError: `mer run` failed.
    """
    environment = {**os.environ, "MER_HOME": str(home)}
    mer = [sys.executable, "-m", "flows.cli"]
    try:
        cost = spent(
            [*mer, "run", "--corpus", str(corpus), "--name", name, "--model", name, *words], environment
        )
    finally:
        spent([*mer, "down"], environment)
    os.environ["MER_HOME"] = str(home)
    report, answers = registered(name)
    return RunResult(report, answers, cost)


def registered(name: str) -> tuple[dict[str, Any], Posteriors]:
    """Report and out-of-fold answers of the newest version of a model."""
    from mer.posteriors import Posteriors
    from tasks.serve.evaluation_files import OUT_OF_FOLD
    from tasks.stage.workspace import reading_workspace

    space = reading_workspace()
    version = max(space.catalogue.model_versions(name), key=lambda row: row.version)
    if version.evaluation is None:
        raise RuntimeError(f"{name} version {version.version}: expected an evaluation, found none")
    report: dict[str, Any] = json.loads(space.artifacts.read(version.evaluation, "report.json"))
    return report, Posteriors.from_parquet(space.artifacts.read(version.evaluation, OUT_OF_FOLD))
