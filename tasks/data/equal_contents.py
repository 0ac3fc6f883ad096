"""What equal contents change about a corpus, applied to its catalogued rows: the catalogue keeps what the owner said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from infra.catalogue import ClipRow
from mer.clips import Split

if TYPE_CHECKING:
    from mer.corpora.equal_contents import EqualContents


def equal_contents(rows: Sequence[ClipRow]) -> EqualContents:
    """Labels of these clips that contradict each other, and training clips that are evaluated on elsewhere."""
    from mer.corpora.equal_contents import SampleFacts, resolve_equal

    return resolve_equal(
        SampleFacts(
            name=row.name,
            content=row.content,
            emotion=row.emotion,
            valence=row.valence,
            split=Split(row.split),
        )
        for row in rows
    )


def with_settled_labels(rows: Sequence[ClipRow], equal: EqualContents) -> list[ClipRow]:
    """The rows without the labels that wait to be settled."""
    return [replace(row, emotion=None, valence=None) if row.name in equal.unlabelled else row for row in rows]


def one_of_each_content(rows: Sequence[ClipRow]) -> list[str]:
    """Names of the first clip of every content: what is a function of the content is computed for these."""
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.content, row.name)
    return list(first.values())
