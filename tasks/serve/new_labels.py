"""Labels that a version did not learn from: a reason to train again, whether anything drifted or not."""

from __future__ import annotations

from infra.catalogue import ModelVersionRow
from tasks.serve.comparison import snapshot_of
from tasks.stage.workspace import Workspace


def new_labels(space: Workspace, snapshot: str, version: ModelVersionRow) -> int:
    """Clips of a snapshot whose label the version's snapshot does not have of this content: of new clips, of clips that had none,
    and labels that were changed. All, where the version has no snapshot.
    """
    known = {(member.content, member.emotion) for member in snapshot_of(space, version.snapshot_id)}
    return sum(
        member.emotion is not None and (member.content, member.emotion) not in known
        for member in space.catalogue.snapshot_members(snapshot)
    )
