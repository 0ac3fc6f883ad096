"""Comparison of two registered versions on the clips that neither was trained on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from infra.artifacts import ArtifactRef
from infra.catalogue import ModelVersionRow, SnapshotMemberRow
from infra.errors import ArtifactCorrupt, ArtifactMissing
from mer.errors import ConfigError
from mer.predictor.package import RECORD, ModelPackage
from tasks.data.old_ids import named_posteriors
from tasks.serve.evaluation_files import HOLDOUT, OUT_OF_FOLD
from tasks.serve.library import version_of
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.evaluation.comparison import Comparison
    from mer.posteriors import Posteriors


def version_named(space: Workspace, text: str, *, model: str) -> ModelVersionRow:
    """The version that `NAME` (its champion), `NAME:VERSION`, or `VERSION` (of `model`) names.

    Raises:
        LookupError: there is none, or it was registered without an evaluation.
    """
    name, _, number = (model, "", text) if text.isdigit() else text.partition(":")
    if number and not number.isdigit():
        raise LookupError(f"version {text!r}: expected NAME, NAME:VERSION or VERSION, e.g. demo:3")
    row = version_of(space, name, int(number) if number else None)
    if row.evaluation is None:
        raise LookupError(f"model {name!r} version {row.version} was registered without an evaluation")
    return row


def compare_versions(space: Workspace, first: ModelVersionRow, second: ModelVersionRow) -> Comparison:
    """Scores of two versions and their differences, by the labels that `first` was evaluated with, on clips whose files did not
    change between them.

    Raises:
        ConfigError: they are one, name different classes, or share no labelled clips.
    """
    if (first.name, first.version) == (second.name, second.version):
        raise ConfigError(
            f"comparison: expected two versions, found {first.name} version {first.version} twice"
        )
    from mer.evaluation.comparison import compare, labelled

    emotions, others = (_emotions(space, row) for row in (first, second))
    if emotions != others:
        raise ConfigError(f"comparison: expected models of the same classes, found {emotions} and {others}")
    members, against = (snapshot_of(space, row.snapshot_id) for row in (first, second))
    content = {member.name: member.content for member in against}
    same = [member for member in members if content.get(member.name) == member.content]
    return compare(
        held_out(space, first.evaluation, members),
        held_out(space, second.evaluation, against),
        labelled([member.name for member in same], [member.emotion for member in same], emotions),
        {member.name: member.speaker for member in same},
        len(emotions),
    )


def snapshot_of(space: Workspace, snapshot: str | None) -> list[SnapshotMemberRow]:
    """Members of the snapshot that a version was trained and scored on; empty for a version without a snapshot."""
    return space.catalogue.snapshot_members(snapshot) if snapshot else []


def held_out(
    space: Workspace, evaluation: ArtifactRef | None, members: Sequence[SnapshotMemberRow]
) -> Posteriors:
    """A version's predictions for clips it learnt nothing from: out-of-fold ones, and those of the holdout.

    Args:
        space: where they are.
        evaluation: of the version.
        members: of the version's snapshot.
    """
    from mer.posteriors import Posteriors

    if evaluation is None:
        raise LookupError("comparison: expected versions with an evaluation, found one without")
    parts = [
        Posteriors.from_parquet(space.artifacts.read(evaluation, name)) for name in (OUT_OF_FOLD, HOLDOUT)
    ]
    return named_posteriors(Posteriors.joined(parts), members)


def served_temperature(space: Workspace, package: ArtifactRef) -> float | None:
    """Temperature that a version's logits are served at; None: its package is gone, so nothing is known of its calibration."""
    try:
        return ModelPackage.parse(space.artifacts.read(package, RECORD)).temperature
    except (ArtifactMissing, ArtifactCorrupt) as error:
        logging.getLogger(__name__).warning("calibration is not compared: %s", error)
        return None


def _emotions(space: Workspace, row: ModelVersionRow) -> tuple[str, ...]:
    return ModelPackage.parse(space.artifacts.read(row.artifact, RECORD)).recipe.emotions
