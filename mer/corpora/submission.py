"""Submissions to the MER challenges: `name,discrete[,valence]`, exactly the candidate rows in their order.

The valence is written where the table of candidates has a column `valence`; whatever it says in its own
`discrete` column is the organisers' filler.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mer.corpora.speakers import name_before_first_dot
from mer.corpora.table_file import read_cells
from mer.errors import CorpusError
from mer.predictions import Prediction

_SHOWN = 10


@dataclass(frozen=True)
class Candidates:
    """The rows a submission must have."""

    names: tuple[str, ...]
    """As written, in order; a name that stands twice is answered twice."""
    with_valence: bool

    def wants(self, name: str) -> bool:
        """True if a row of the table names this clip."""
        return name in self._known or name_before_first_dot(name) in self._cut

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def _cut(self) -> frozenset[str]:
        return frozenset(map(name_before_first_dot, self.names))


def read_candidates(path: Path) -> Candidates:
    """Read a table of candidates.

    Raises:
        CorpusError: no such table, no column `name`, no rows, or a row without a name.
    """
    if not path.is_file():
        raise CorpusError(f"expected a table of candidates at {path}, found none")
    cells = read_cells(path)
    names = tuple(row.get("name", "") for row in cells.rows)
    if "name" not in cells.columns or not names or not all(names):
        summary = f"{', '.join(cells.columns) or 'no header'} and {sum(map(bool, names))} names in {len(names)} rows"
        raise CorpusError(f"{path.name}: expected a column `name` with a name in every row, found {summary}")
    return Candidates(names, "valence" in cells.columns)


def submission_table(
    candidates: Candidates, predictions: Iterable[Prediction], reasons: Mapping[str, str] | None = None
) -> str:
    """The submission as CSV text, a view of predictions.

    Args:
        candidates: the rows asked for.
        predictions: answers by clip name, the last of several; names match as written, or up to the first dot.
        reasons: why clips without a prediction have none, by name.

    Raises:
        CorpusError: candidates without a prediction (listed, with reasons), or without a valence that is asked
            for; nothing is to be submitted then.
    """
    answers = {prediction.name: prediction for prediction in predictions if prediction.answered}
    by_cut_name = {name_before_first_dot(name): answer for name, answer in answers.items()}
    rows = [
        (name, answers.get(name) or by_cut_name.get(name_before_first_dot(name))) for name in candidates.names
    ]
    if missing := [name for name, answer in rows if answer is None]:
        known = reasons or {}
        listed = "\n  ".join(
            f"{name}: {known.get(name, 'no media or catalogued clip of this name')}"
            for name in missing[:_SHOWN]
        )
        more = f"\n  and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise CorpusError(
            f"{len(missing)} of {len(rows)} candidates have no prediction, so nothing is written; give the folder of "
            f"their media, or ingest their corpus:\n  {listed}{more}"
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "discrete", "valence"] if candidates.with_valence else ["name", "discrete"])
    for name, answer in rows:
        assert answer is not None  # checked above
        writer.writerow([name, str(answer.discrete), *_valence(name, answer, candidates.with_valence)])
    return text.getvalue()


def _valence(name: str, answer: Prediction, required: bool) -> list[str]:
    if not required:
        return []
    if answer.valence is None:
        raise CorpusError(
            f"the table of candidates asks for valence, and the model gives none (first: {name}): expected a "
            "model trained on clips with valence, or a table without that column"
        )
    return [f"{answer.valence:.4f}"]
