"""Artifacts of 0.1.0 call a clip by its content: the one place where they get the names of today.

There a clip was a content, and its files' names were of no account. Snapshots that were taken then know both (the migration of
the catalogue wrote the name each content had beside it), so do the examples of a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from infra.catalogue import SnapshotMemberRow

if TYPE_CHECKING:
    from mer.examples import Examples
    from mer.posteriors import Posteriors
    from mer.selftraining.pseudo_labels import PseudoLabels


def named_posteriors(posteriors: Posteriors, members: Iterable[SnapshotMemberRow]) -> Posteriors:
    """Predictions for members of a snapshot, each under its name."""
    from mer.posteriors import Posteriors

    known = {member.name: member.content for member in members}
    if all(clip_id in known for clip_id in posteriors.clip_ids):
        return posteriors
    names = _first_names(known)
    clip_ids = tuple(
        clip_id if clip_id in known else names.get(clip_id, clip_id) for clip_id in posteriors.clip_ids
    )
    return Posteriors(clip_ids, posteriors.logits, posteriors.valence)


def named_selection(labels: PseudoLabels, examples: Examples) -> PseudoLabels:
    """Pseudo-labels that were given by content: each to the first clip that has it; those of no clip are left out."""
    import numpy as np

    names = _first_names(dict(zip(examples.clip_ids, examples.content, strict=True)))
    rows = [row for row, content in enumerate(labels.clip_ids) if content in names]
    matched = labels.subset(np.array(rows, dtype=np.int64))
    return replace(matched, clip_ids=tuple(names[content] for content in matched.clip_ids))


def names_of_contents(contents: Iterable[str], examples: Examples) -> list[str]:
    """All clips that have one of these contents, by name."""
    listed = set(contents)
    return sorted(
        name for name, content in zip(examples.clip_ids, examples.content, strict=True) if content in listed
    )


def _first_names(content_of: Mapping[str, str]) -> dict[str, str]:
    """Content -> the first of its names."""
    return {content_of[name]: name for name in sorted(content_of, reverse=True)}
