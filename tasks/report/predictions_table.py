"""Predictions for clips that a version did not learn, as a table: out of fold, and of the holdout."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

from mer.prediction_files import spreadsheet_safe
from tasks.report.collected import Collected
from tasks.report.predicted import Predicted

COLUMNS = ("name", "set", "fold", "part", "speaker", "label", "answer", "confidence", "valence")
"""Columns before those of the classes."""


def predictions_csv(found: Collected) -> str:
    """A row a labelled clip; probabilities as they are served, with 6 digits."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*COLUMNS, *(spreadsheet_safe(f"p_{name}") for name in found.emotions)])
    for name, clips in (("out of fold", found.out_of_fold), ("holdout", found.holdout)):
        rows.writerows(_rows(name, clips))
    return text.getvalue()


def _rows(of: str, clips: Predicted) -> Iterator[list[str]]:
    for row, name in enumerate(clips.names):
        shares = clips.probabilities[row]
        valence = float(clips.valence[row])
        words = (
            name, of, "" if clips.fold[row] < 0 else str(clips.fold[row]), clips.part[row] or "", clips.speaker[row] or "",
            clips.emotions[clips.truth[row]], clips.emotions[clips.predicted[row]],
        )  # fmt: skip
        numbers = (f"{shares.max():.6f}", "" if math.isnan(valence) else f"{valence:.6f}")
        yield [*map(spreadsheet_safe, words), *numbers, *(f"{share:.6f}" for share in shares)]
