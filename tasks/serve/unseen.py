"""A champion's answers for labelled clips that came after it: it is asked to predict what it never saw.

Without them a champion of one corpus could never be replaced by a model of another one: the two share no clip.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from infra.artifacts import ArtifactRef
from infra.catalogue import ModelVersionRow
from infra.errors import InfraError
from mer.clips import Clip
from mer.errors import MerError
from tasks.data.dataset import HELD_OUT_SPLITS
from tasks.serve.comparison import held_out, served_temperature, snapshot_of
from tasks.stage.compute import computing
from tasks.stage.references import DatasetRef
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.evaluation.gate import ScoredClips
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
        answers = predicted(space, dataset.corpus, champion.artifact, [truth.clip_ids[row] for row in unseen])
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
    same_corpus = space.catalogue.corpus_of(champion) == dataset.corpus
    # of unlabelled ones too: it may have learnt from their pseudo-labels, or been aligned on them
    speakers = (
        {member.speaker for member in members if member.split not in HELD_OUT_SPLITS}
        if same_corpus
        else set()
    )
    position = {clip_id: row for row, clip_id in enumerate(truth.clip_ids)}
    rows = [
        position[name]
        for name in names
        if truth.content_of(position[name]) not in contents
        and (truth.speaker[position[name]] is None or truth.speaker[position[name]] not in speakers)
    ]
    return sorted(rows, key=lambda row: (truth.content_of(row), truth.clip_ids[row]))[:MOST_PREDICTED]


def of_other_corpus(
    space: Workspace, dataset: DatasetRef, challenger: ArtifactRef, champion: ModelVersionRow
) -> tuple[ScoredClips, ScoredClips] | None:
    """Challenger and champion on what the champion was scored on, where that is another corpus; None: it is not.

    Without them two corpora that share a model's name would each put their own version back, for ever.

    Args:
        space: where they are.
        dataset: snapshot of the challenger.
        challenger: its package.
        champion: the version that is served.
    """
    from mer.evaluation.gate import ScoredClips

    corpus = space.catalogue.corpus_of(champion)
    if champion.snapshot_id is None or corpus is None or corpus == dataset.corpus:
        return None
    members = {member.name: member for member in snapshot_of(space, champion.snapshot_id)}
    own = {member.content for member in snapshot_of(space, dataset.membership)}
    rows = {row.name: row for row in space.catalogue.clips(corpus)}
    held = held_out(space, champion.evaluation, list(members.values()))
    usable = [
        rows[name]
        for name in held.clip_ids
        if name in rows
        and rows[name].content == members[name].content
        and rows[name].content not in own
        and rows[name].emotion in dataset.emotions
        and (rows[name].path.is_file() or not (rows[name].has_audio or rows[name].has_video))
    ]
    names = [row.name for row in sorted(usable, key=lambda row: (row.content, row.name))][:MOST_PREDICTED]
    if not names:
        return None
    truth = np.array([dataset.emotions.index(str(rows[name].emotion)) for name in names], dtype=np.int64)
    speakers = tuple(None if (who := rows[name].speaker) is None else f"{corpus}/{who}" for name in names)
    ids = tuple(f"{corpus}/{name}" for name in names)
    try:
        first, second = predicted(space, corpus, challenger, names), held.restricted(names)
    except (MerError, InfraError) as error:
        if error.transient:
            raise
        logging.getLogger(__name__).warning(
            "the new version cannot be asked about %d clips of %s that the champion was scored on (%s)",
            len(names), corpus, error,
        )  # fmt: skip
        return None
    said = []
    for posteriors, package in ((first, challenger), (second, champion.artifact)):
        temperature = served_temperature(space, package)
        shares = None if temperature is None else posteriors.probabilities(temperature)
        said.append(ScoredClips(ids, truth, posteriors.predicted, speakers, shares))
    return said[0], said[1]


def predicted(space: Workspace, corpus: str, package: ArtifactRef, names: Sequence[str]) -> Posteriors:
    """A version's answers for catalogued clips. Not a stage: only a decision rests on them, and that is kept."""
    from mer.posteriors import Posteriors
    from mer.predictor.predictor import Predictor

    rows = {row.name: row for row in space.catalogue.clips(corpus, only=names)}
    root = space.catalogue.corpus_root(corpus)
    clips = [
        Clip(
            name=name, content=rows[name].content, path=rows[name].path, corpus_root=root,
            transcript=rows[name].transcript,
        )
        for name in names
    ]  # fmt: skip

    with computing(space.settings):
        predictor = Predictor(space.artifacts.fetch(package), space.weights)
        batches = [clips[begin : begin + AT_ONCE] for begin in range(0, len(clips), AT_ONCE)]
        return Posteriors.joined([predictor.posteriors(batch) for batch in batches])
