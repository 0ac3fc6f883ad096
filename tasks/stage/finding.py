"""Finding and committing artifacts beside a clean-up that removes what nobody uses (`tasks.prune`).

What is found is stamped as used before it is relied on; what is committed is recorded, and then looked at once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.artifacts import ArtifactRef, Scalar
from infra.errors import ArtifactCorrupt, ArtifactMissing
from tasks.stage.looking import is_looking
from tasks.stage.workspace import Workspace


def lookup_verified(space: Workspace, kind: str, key: str) -> ArtifactRef | None:
    """The committed artifact, used from now on; None: there is none, or one that failed verification and is discarded so that it
    is computed again.
    """
    ref = space.artifacts.lookup(kind, key)
    if ref is None:
        return None
    try:
        space.artifacts.verify(ref)
    except (ArtifactCorrupt, ArtifactMissing):
        space.artifacts.discard(ref)
        return None
    return ref if not gone(space, [ref]) else None


def lookup_used(space: Workspace, kind: str, key: str) -> ArtifactRef | None:
    """The committed artifact, used from now on, without a look at its files; None: there is none."""
    ref = space.artifacts.lookup(kind, key)
    return ref if ref is not None and not gone(space, [ref]) else None


def gone(space: Workspace, found: Sequence[ArtifactRef]) -> list[ArtifactRef]:
    """Stamp artifacts that were found as used now; gives those that a clean-up removed before the stamp."""
    if is_looking():
        return []
    return [
        ref
        for ref in space.catalogue.use_artifacts(found)
        if space.artifacts.lookup(ref.kind, ref.key) != ref
    ]


def commit(
    space: Workspace,
    name: tuple[str, str],
    files: Mapping[str, bytes | Path],
    meta: Mapping[str, Scalar],
    made_by: tuple[str, Mapping[str, str]],
) -> ArtifactRef:
    """Commit an artifact and record where it came from.

    Args:
        space: where it goes.
        name: its kind and key.
        files: by name.
        meta: small facts.
        made_by: version of the code, and of the libraries.
    """
    kind, key = name
    code, libraries = made_by
    while True:
        ref = space.artifacts.commit(kind, key, files, meta=dict(meta))
        space.catalogue.record_artifact(ref, stage=kind, code_version=code, libraries=libraries)
        try:
            space.artifacts.complete(ref, files)  # after the record: from here on a clean-up knows its blobs
        except ArtifactMissing:
            continue  # an old one was adopted while a clean-up took it
        return ref
