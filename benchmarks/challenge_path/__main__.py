"""From a folder to a submission at a challenge's size, by the product's own commands: processor minutes and peak memory.

    python -m benchmarks.challenge_path [--share 1.0] [--recipe NAME] [--set PATH=VALUE ...] [--quick] [--json PATH]

A corpus is made below `--folder` (7,369 labelled clips, 20,000 candidates, features of 1024, 1024 and 4096 float32, one
npy file each, in the layout of MER2025), then, in a home of its own beside it: `mer ingest`, `mer run`, `mer predict
--candidates ... --out submission.csv`, as docs/corpora.md has them. `--share .1` takes a tenth of the clips; `--quick` a
fiftieth. Processor time is that of the command and all its processes (the servers, which it starts first, apart); memory
is the most that they held together.

JSON keys: `<step>_processor_minutes`, `<step>_minutes` (by the clock), `<step>_peak_gb`, `<step>_silent_seconds` (longest
time without a line of output) for step = ingest, run, predict; `processor_minutes`, `peak_gb` of all; `submission_rows`,
`submission_accuracy` (the candidates' classes are known here), `labelled`, `candidates`.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.challenge_path.corpus import CANDIDATE_TABLE, TRUTH, make_corpus
from benchmarks.command import Figure, parser, write_figures
from benchmarks.spending import Spent, spent

RECIPE = "precomputed"
MOST_MINUTES, MOST_GB = 30.0, 6.0


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--folder", type=Path, default=Path(".mer/challenge"), help="where corpus and home are made"
    )
    options.add_argument("--share", type=float, default=0.0, help="share of the clips")
    options.add_argument("--recipe", default=RECIPE, help="recipe, or its YAML file")
    options.add_argument("--set", action="append", default=[], help="PATH=VALUE, as `mer run` takes it")
    chosen = options.parse_args()
    share = chosen.share or (0.02 if chosen.quick else 1.0)
    root = (chosen.folder / f"corpus-{share:g}" / "mer2025").resolve()
    labelled, candidates = make_corpus(root, share)
    home = (chosen.folder / f"home-{share:g}").resolve()
    print(f"{labelled} labelled clips, {candidates} candidates in {root}; home {home}", flush=True)
    environment = {**os.environ, "MER_HOME": str(home)}
    mer = [sys.executable, "-m", "flows.cli"]
    submission = chosen.folder / f"submission-{share:g}.csv"
    spent([*mer, "up"], environment)
    settings = [word for value in chosen.set for word in ("--set", value)]
    recipe = ["--recipe", chosen.recipe, *settings]
    try:
        steps = {
            "ingest": spent([*mer, "ingest", "--corpus", str(root), *recipe], environment),
            "run": spent([*mer, "run", "--corpus", str(root), *recipe], environment),
            "predict": spent(
                [*mer, "predict", "--candidates", str(root / CANDIDATE_TABLE), "--out", str(submission)],
                environment,
            ),
        }
    finally:
        spent([*mer, "down"], environment)
    figures = figures_of(steps) | scored(submission, root) | {"labelled": labelled, "candidates": candidates}
    show(steps, figures)
    write_figures(chosen.json, figures)


def figures_of(steps: dict[str, Spent]) -> dict[str, Figure]:
    """Of every step, and of all."""
    figures: dict[str, Figure] = {}
    for name, step in steps.items():
        figures |= {
            f"{name}_processor_minutes": step.processor_seconds / 60,
            f"{name}_minutes": step.seconds / 60,
            f"{name}_peak_gb": step.peak_bytes / 1e9,
            f"{name}_silent_seconds": step.silent_seconds,
        }
    figures["processor_minutes"] = sum(step.processor_seconds for step in steps.values()) / 60
    figures["peak_gb"] = max(step.peak_bytes for step in steps.values()) / 1e9
    return figures


def scored(submission: Path, root: Path) -> dict[str, Figure]:
    """How many rows there are, and how many have the class that was drawn.

    Raises:
        RuntimeError: other rows than the candidates.
    """
    rows = _column(submission, "discrete")
    truth = _column(root / TRUTH, "discrete")
    if list(rows) != list(truth):
        raise RuntimeError(
            f"{submission}: expected exactly the {len(truth)} candidates in their order, found {len(rows)} rows"
        )
    right = sum(rows[name] == label for name, label in truth.items())
    return {"submission_rows": len(rows), "submission_accuracy": right / len(rows)}


def _column(path: Path, column: str) -> dict[str, str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["name"]: row[column] for row in csv.DictReader(file)}


def show(steps: dict[str, Spent], figures: dict[str, Figure]) -> None:
    """The table, and whether it is within what must hold."""
    print(f"{'step':<10}{'processor min':>14}{'min':>8}{'peak GB':>9}{'silent s':>10}")
    for name in steps:
        cells: Sequence[Figure] = [
            figures[f"{name}_{key}"] for key in ("processor_minutes", "minutes", "peak_gb", "silent_seconds")
        ]
        print(f"{name:<10}{cells[0]:>14.2f}{cells[1]:>8.2f}{cells[2]:>9.2f}{cells[3]:>10.0f}")
    print(
        f"all: {figures['processor_minutes']:.2f} processor minutes (must: {MOST_MINUTES:g}), {figures['peak_gb']:.2f} GB (must: "
        f"{MOST_GB:g}); submission of {figures['submission_rows']} rows, {figures['submission_accuracy']:.3f} right"
    )


if __name__ == "__main__":
    main()
