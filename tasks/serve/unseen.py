"""A champion's answers for labelled clips that came after it: it is asked to predict what it never saw.

Without them a champion of one corpus could never be replaced by a model of another one: the two share no clip.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from infra.catalogue import ModelVersionRow, SnapshotMemberRow
from infra.errors import InfraError
from mer.clips import Clip
from mer.errors import MerError
from tasks.serve.comparison import snapshot_of
from tasks.stage.compute import computing
from tasks.stage.references import DatasetRef
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.examples import Examples
    from mer.posteriors import Posteriors

AT_ONCE = 64
"""Clips that are read together: their features are held in memory."""
MOST_PREDICTED = 1000
"""Clips that a champion is asked for at most, the first by content: evidence enough, and no second pass over a large corpus."""


def with_unseen(
    dataset: DatasetRef,
    truth: Examples,
    champion: ModelVersionRow,
    stored: Posteriors,
    compared: Sequence[str],
) -> Posteriors:
    """A champion's stored predictions, and its answers now for clips that it learnt nothing of.

    Args:
        dataset: snapshot of the challenger.
        truth: its clips.
        champion: the version that is asked.
        stored: its stored predictions.
        compared: names of clips that the challenger was scored on.

    Returns:
        The stored ones alone, where it saw all others, or cannot be loaded any more (a line says so).

    Raises:
        MerError, InfraError: transient: it cannot be asked now. What is decided without its answers stands for good.
    """
    from mer.posteriors import Posteriors

    space = workspace()
    unseen = unseen_clips(space, dataset, truth, champion, sorted(set(compared) - set(stored.clip_ids)))
    if not unseen:
        return stored
    try:
        answers = _predicted(space, dataset, champion, [truth.clip_ids[row] for row in unseen])
    except (MerError, InfraError) as error:
        if error.transient:
            raise
        logging.getLogger(__name__).warning(
            "%s version %d cannot be asked about %d clips that it never saw (%s): compared on the others",
            champion.name, champion.version, len(unseen), error,
        )  # fmt: skip
        return stored
    return Posteriors.joined([stored, answers]) if len(stored) else answers


def unseen_clips(
    space: Workspace, dataset: DatasetRef, truth: Examples, champion: ModelVersionRow, names: Sequence[str]
) -> list[int]:
    """Rows of the clips of these names that a version learnt nothing of: neither their content nor, in its corpus, their speaker.

    Where it has no snapshot, nothing is known of what it learnt, and no clip is taken.
    """
    members = snapshot_of(space, champion.snapshot_id)
    if not members or champion.snapshot_id is None:
        return []
    contents = {member.content for member in members}
    same_corpus = space.catalogue.snapshot_corpus(champion.snapshot_id) == dataset.corpus
    speakers = {member.speaker for member in members if _is_taught(member)} if same_corpus else set()
    position = {clip_id: row for row, clip_id in enumerate(truth.clip_ids)}
    rows = [
        position[name]
        for name in names
        if truth.content_of(position[name]) not in contents
        and (truth.speaker[position[name]] is None or truth.speaker[position[name]] not in speakers)
    ]
    return sorted(rows, key=lambda row: (truth.content_of(row), truth.clip_ids[row]))[:MOST_PREDICTED]


def _is_taught(member: SnapshotMemberRow) -> bool:
    return member.emotion is not None or member.valence is not None


def _predicted(
    space: Workspace, dataset: DatasetRef, champion: ModelVersionRow, names: Sequence[str]
) -> Posteriors:
    """The answers. Not a stage: the decision that rests on them is kept, and nothing else asks for them."""
    from mer.posteriors import Posteriors
    from mer.predictor.predictor import Predictor

    rows = {row.name: row for row in space.catalogue.clips(dataset.corpus)}
    root = next(row.root for row in space.catalogue.corpora() if row.name == dataset.corpus)
    clips = [
        Clip(
            name=name, content=rows[name].content, path=rows[name].path, corpus_root=root,
            transcript=rows[name].transcript,
        )
        for name in names
    ]  # fmt: skip

    with computing(space.settings):
        predictor = Predictor(space.artifacts.fetch(champion.artifact), space.weights)
        batches = [clips[begin : begin + AT_ONCE] for begin in range(0, len(clips), AT_ONCE)]
        return Posteriors.joined([predictor.posteriors(batch) for batch in batches])
