"""RAVDESS by EmoBox' protocol, by `mer run` itself: audio only, eight classes, six folds of fixed test speakers.

    python -m benchmarks.ravdess.emobox [--corpus PATH] [--recipe ravdess] [--set PATH=VALUE ...] [--home PATH] [--json PATH]

The corpus is RAVDESS' sounds, with a table whose fold column has EmoBox' test speakers (`FOLDS`); streams that
are not of sound are left out of the recipe (`visual`, `lexical`; add `--set` for others). Options as of
`benchmarks.ravdess.flow`. JSON keys: `ua` (mean over folds of the mean class recall), `wa` (mean over folds of the
accuracy), `ua_low`, `ua_high`, `wa_low`, `wa_high` (95 %, speakers resampled), `ua_folds`, `wa_folds`, `served`, `clips`,
`processor_minutes`, `minutes`, `peak_gb`. Published there with frozen encoders (Ma et al. 2024), UA / WA: HuBERT-large
.700 / .703, WavLM-large .720 / .722, Whisper-large-v3 .753 / .759 (best of ten).
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.ravdess.by_run import home_of, run, run_options, words_of
from benchmarks.ravdess.flow import quick_row
from benchmarks.ravdess.subset import Row, copied_corpus
from mer.emotions import RAVDESS_EMOTIONS, canonical_emotion

FOLDS = ((1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24), (2, 15, 16, 18), (6, 13, 17, 22))
"""Test speakers of EmoBox' folds (known)."""
_FOLD_OF = {f"actor_{actor:02}": fold for fold, actors in enumerate(FOLDS) for actor in actors}
SILENT = ("visual", "lexical")
"""Streams of the recipe `ravdess` and its like that are not of sound."""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--corpus",
        type=Path,
        default=Path("../shared/data/ravdess"),
        help="folder with labels.csv and audio/",
    )
    run_options(options, "ravdess")
    chosen = options.parse_args()
    if not (chosen.corpus / "labels.csv").is_file():
        options.error(f"expected labels.csv and audio/ in {chosen.corpus}; give --corpus PATH")
    words = words_of(chosen) + silent_words(chosen.recipe, chosen.set)
    with tempfile.TemporaryDirectory() as folder, home_of(chosen) as home:
        only = quick_row if chosen.quick else lambda row: True
        corpus = copied_corpus(chosen.corpus, Path(folder), only, in_emobox_fold)
        truth = labels_of(corpus)
        found = run(corpus, "emobox", words, home)
    answers = found.out_of_fold
    emotion = np.array([class_of(truth[clip]) for clip in answers.clip_ids])
    speakers = [truth[clip]["speaker"] for clip in answers.clip_ids]
    figures = scored(emotion, answers.predicted, speakers)
    figures |= {
        "served": found.report["served"],
        "clips": len(answers),
        "processor_minutes": found.spent.processor_seconds / 60,
        "minutes": found.spent.seconds / 60,
        "peak_gb": found.spent.peak_bytes / 1e9,
    }
    print(
        f"UA {figures['ua']:.3f} ({figures['ua_low']:.3f} to {figures['ua_high']:.3f}), WA {figures['wa']:.3f} "
        f"({figures['wa_low']:.3f} to {figures['wa_high']:.3f}); {figures['processor_minutes']:.1f} processor minutes"
    )
    write_figures(chosen.json, figures)


def silent_words(recipe: str, settings: Sequence[str]) -> list[str]:
    """Words that leave the streams out that are not of sound, as far as the recipe has them."""
    from mer.recipes import load_recipe

    streams = load_recipe(recipe, list(settings)).streams
    return [word for name in SILENT if name in streams for word in ("--set", f"streams.{name}=null")]


def in_emobox_fold(row: Row) -> Row:
    """The row with the fold in which EmoBox tests its speaker."""
    return {**row, "fold": str(_FOLD_OF[row["speaker"]])}


def labels_of(corpus: Path) -> dict[str, Row]:
    """Name -> row of the table."""
    with (corpus / "labels.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: dict(row) for row in csv.DictReader(file)}


def class_of(row: Row) -> int:
    """Number of a row's class, however the table spells it."""
    return RAVDESS_EMOTIONS.index(canonical_emotion(row["emotion"], RAVDESS_EMOTIONS))


def scored(
    emotion: NDArray[np.int64], predicted: NDArray[np.int64], speakers: Sequence[str]
) -> dict[str, Figure]:
    """UA and WA, mean over folds, with intervals; a resample draws whole speakers of all folds together."""
    from mer.evaluation.intervals import bootstrap_interval
    from mer.evaluation.metrics import accuracy, confusion, unweighted_recall

    fold = np.array([_FOLD_OF[speaker] for speaker in speakers])
    classes = len(RAVDESS_EMOTIONS)
    counts = [confusion(emotion[fold == one], predicted[fold == one], classes) for one in np.unique(fold)]
    figures: dict[str, Figure] = {}
    for name, score in (("ua", unweighted_recall), ("wa", accuracy)):
        folds = [float(score(own)) for own in counts]
        around = bootstrap_interval(emotion, predicted, list(speakers), classes, score=score)
        figures |= {
            name: float(np.mean(folds)),
            f"{name}_folds": folds,
            f"{name}_low": around.low,
            f"{name}_high": around.high,
        }
    return figures


if __name__ == "__main__":
    main()
