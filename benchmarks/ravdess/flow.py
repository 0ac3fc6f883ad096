"""RAVDESS, published speaker-independent folds, by `mer run` itself: everything is chosen inside training folds.

    python -m benchmarks.ravdess.flow [--corpus PATH] [--recipe ravdess] [--set PATH=VALUE ...] [--home PATH] [--json PATH]

Without `--home` the run begins from an empty one, so that its processor minutes are those of a first run; the servers'
time is not in them. `--quick` takes one sentence's first repetition (360 clips), which shows that all of it runs, not how
good it is. JSON keys, one set per system of the report with its name in front (`/` and `+` become `_`): accuracy_mean
(over folds), accuracy_folds, waf, waf_low, waf_high, interval_low, interval_high (accuracy; 95 %, speakers resampled);
differences of the served system where the report has them; `served`, `processor_minutes`, `minutes`, `peak_gb`. Published
on these folds: .8670 (Luna-Jimenez et al. 2022).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.command import Figure, parser, write_figures
from benchmarks.ravdess.by_run import home_of, run, run_options, words_of
from benchmarks.ravdess.subset import copied_corpus


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--corpus",
        type=Path,
        default=Path("../shared/data/ravdess"),
        help="folder with labels.csv, audio/, features/",
    )
    run_options(options, "ravdess")
    chosen = options.parse_args()
    if not (chosen.corpus / "labels.csv").is_file():
        options.error(f"expected labels.csv, audio/ and features/ in {chosen.corpus}; give --corpus PATH")
    with tempfile.TemporaryDirectory() as folder, home_of(chosen) as home:
        corpus = copied_corpus(chosen.corpus, Path(folder), only=quick_row) if chosen.quick else chosen.corpus
        found = run(corpus.resolve(), "ravdess", words_of(chosen), home)
    figures = figures_of(found.report)
    figures |= {
        "processor_minutes": found.spent.processor_seconds / 60,
        "minutes": found.spent.seconds / 60,
        "peak_gb": found.spent.peak_bytes / 1e9,
    }
    print(f"{figures['processor_minutes']:.1f} processor minutes, {figures['peak_gb']:.1f} GB at most")
    write_figures(chosen.json, figures)


def quick_row(row: Mapping[str, str]) -> bool:
    """Of the name modality-channel-emotion-intensity-statement-repetition-actor: the first statement and repetition."""
    return row["name"].split("-")[4:6] == ["01", "01"]


def figures_of(report: Mapping[str, Any]) -> dict[str, Figure]:
    """Flat figures of an evaluation report."""
    figures: dict[str, Figure] = {"served": report["served"]}
    for row in report["systems"]:
        name = key_of(row["system"])
        figures |= {
            f"{name}_accuracy_mean": fmean(row["accuracy_folds"]),
            f"{name}_accuracy_folds": row["accuracy_folds"],
            f"{name}_waf": row["waf"],
            f"{name}_waf_low": row["waf_low"],
            f"{name}_waf_high": row["waf_high"],
            f"{name}_interval_low": row["accuracy_low"],
            f"{name}_interval_high": row["accuracy_high"],
        }
    for one in report.get("differences", ()):
        base = f"{key_of(one['system'])}_minus_{key_of(one['minus'])}"
        figures |= {f"{base}_{key}": value for key, value in one.items() if isinstance(value, int | float)}
    return figures


def key_of(system: str) -> str:
    """A system's name in keys."""
    return system.replace("/", "_").replace("+", "_")


if __name__ == "__main__":
    main()
