"""Selections of pseudo-labels and the votes behind them, read for the clips of today.

A label belongs to a name and to the content that lay there when it was voted on: where another file lies there by now, the clip
has not been voted on.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.artifacts import ArtifactRef
from tasks.data.old_ids import named_selection, names_of_contents
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.examples import Examples
    from mer.selftraining.pseudo_labels import PseudoLabels

SELECTION = "pseudo_labels.parquet"
BALLOT = "ballot.json"
"""Beside a selection: `candidates` that were voted on, their `contents`, and `seen`, the clips whose gold labels its voters
learnt from."""


@dataclass(frozen=True)
class Ballot:
    """What was voted on, and who voted."""

    candidates: tuple[str, ...]
    """Clips that were voted on and are what they were then."""
    seen: tuple[str, ...]
    """Clips whose gold labels the voters learnt from."""


def ballot_file(candidates: Collection[str], seen: Collection[str], examples: Examples) -> bytes:
    """A ballot as it is kept."""
    content = dict(zip(examples.clip_ids, examples.content, strict=True))
    record = {
        "candidates": sorted(candidates),
        "contents": {name: content[name] for name in sorted(candidates)},
        "seen": sorted(seen),
    }
    return json.dumps(record).encode()


def read_ballot(space: Workspace, ref: ArtifactRef, examples: Examples) -> Ballot:
    """The ballot of a selection, as far as it is about these examples."""
    record = json.loads(space.artifacts.read(ref, BALLOT))
    if (contents := record.get("contents")) is None:  # of 0.1.0
        return Ballot(
            tuple(names_of_contents(record["candidates"], examples)),
            tuple(names_of_contents(record["seen"], examples)),
        )
    unchanged = _unchanged(contents, examples)
    return Ballot(tuple(name for name in record["candidates"] if name in unchanged), tuple(record["seen"]))


def load_selections(space: Workspace, refs: Sequence[ArtifactRef], examples: Examples) -> list[PseudoLabels]:
    """Selections from their artifacts, without the labels of clips that are not of these examples any more."""
    return [_load(space, ref, examples) for ref in refs]


def _load(space: Workspace, ref: ArtifactRef, examples: Examples) -> PseudoLabels:
    import numpy as np

    from mer.selftraining.pseudo_labels import PseudoLabels

    labels = PseudoLabels.from_parquet(space.artifacts.read(ref, SELECTION))
    contents = json.loads(space.artifacts.read(ref, BALLOT)).get("contents")
    if contents is None:  # of 0.1.0
        return named_selection(labels, examples)
    unchanged = _unchanged(contents, examples)
    rows = [row for row, name in enumerate(labels.clip_ids) if name in unchanged]
    return labels.subset(np.array(rows, dtype=np.int64))


def _unchanged(contents: dict[str, str], examples: Examples) -> set[str]:
    return {
        name
        for name, content in zip(examples.clip_ids, examples.content, strict=True)
        if contents.get(name) == content
    }
