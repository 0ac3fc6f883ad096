"""RAVDESS, published speaker-independent folds: every stream and their fusion, everything chosen inside training folds.

    python -m benchmarks.ravdess.flow --corpus PATH [--quick] [--json PATH]

Runs the flow `train` with the recipe `ravdess` (stages already computed in MER_HOME are found again) and prints the table of
the folds. `--quick` leaves adaptation and alignment out: frozen best layer, action units as they are. JSON keys, one set per
system with its name in front (`fused_`, `acoustic_`, `visual_`, `lexical_`): accuracy_mean (over folds), waf, accuracy_folds,
interval_low, interval_high (accuracy, 95 %, speakers resampled). Published on these folds: .8670 (Luna-Jimenez et al. 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.command import Figure, parser, write_figures

QUICK = Path(__file__).with_name("ravdess_flow_quick.yaml")


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--corpus", default="../shared/data/ravdess", help="folder with labels.csv, audio/, features/"
    )
    options.add_argument("--recipe", default="", help="another recipe or its YAML file")
    chosen = options.parse_args()
    if not (Path(chosen.corpus) / "labels.csv").is_file():
        options.error(f"expected labels.csv, audio/ and features/ in {chosen.corpus}; give --corpus PATH")

    from flows.servers import ensure_servers

    ensure_servers()
    from flows.options import DemoOptions
    from flows.train import train

    recipe = chosen.recipe or (str(QUICK) if chosen.quick else "ravdess")
    report: dict[str, Any] = train(DemoOptions(recipe=recipe, corpus=chosen.corpus, corpus_name="ravdess"))
    write_figures(chosen.json, figures_of(report))


def figures_of(report: Mapping[str, Any]) -> dict[str, Figure]:
    """Flat figures of an evaluation report."""
    figures: dict[str, Figure] = {}
    for row in report["systems"]:
        name = row["system"]
        figures |= {
            f"{name}_accuracy_mean": fmean(row["accuracy_folds"]),
            f"{name}_accuracy_folds": row["accuracy_folds"],
            f"{name}_waf": row["waf"],
            f"{name}_interval_low": row["accuracy_low"],
            f"{name}_interval_high": row["accuracy_high"],
        }
    return figures


if __name__ == "__main__":
    main()
