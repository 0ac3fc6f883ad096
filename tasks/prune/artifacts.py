"""Artifacts that no run used for long: their manifests, their rows, and the rows of their features.

Mark: what kept versions and generations refer to, and what was used within the window. Sweep: one artifact a transaction, in
which its stamp is looked at once more (`infra.catalogue.uses`), so that a run that begins to use it now keeps it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import partial

from infra.artifacts import ArtifactRef, manifest_key
from infra.objects.interface import StoredObject
from infra.objects.layout import MANIFESTS, SHARD_RECORDS
from tasks.prune.report import Cleanup
from tasks.prune.window import Window
from tasks.stage.workspace import Workspace

SHARD_KIND = "features"
Name = tuple[str, str]
"""Kind and key of an artifact."""


def sweep_artifacts(space: Workspace, window: Window, kept: Collection[Name], cleanup: Cleanup) -> set[Name]:
    """Remove unused artifacts from sight; their blobs go later. Returns those that stay.

    Args:
        space: the stores.
        window: what is old.
        kept: kind and key of what stays however old it is.
        cleanup: how, and what came of it.
    """
    manifests = listed_manifests(space)
    uses = _with_unrecorded(space, window, manifests, cleanup)
    _sweep_rows_without_manifest(space, window, manifests, cleanup)
    removed = cleanup.kind("artifacts", 0, 0)
    old = [
        name
        for name, manifest in manifests.items()
        if name in uses
        and uses[name] < window.used_before
        and name not in kept
        and manifest.modified < window.written_before
    ]
    staying = set(manifests)
    for name in sorted(old, key=uses.__getitem__):
        cleanup.check_time()
        manifest = manifests[name]
        if cleanup.dry_run or space.catalogue.forget_artifact(
            *name, window.used_before, partial(space.artifacts.objects.delete, manifest.key)
        ):
            staying.discard(name)
            removed.add(manifest.size)
    _sweep_shard_records(space, window, staying, cleanup)
    return staying


def _sweep_shard_records(
    space: Workspace, window: Window, staying: Collection[Name], cleanup: Cleanup
) -> None:
    """Records of shards whose manifest is gone: they say nothing any more (`infra.objects.layout`)."""
    removed = cleanup.kind("records of shards", 0, 0)
    for item in space.artifacts.objects.listed(SHARD_RECORDS):
        key = item.key.rpartition("/")[2].removesuffix(".json")
        if item.modified >= window.written_before or (SHARD_KIND, key) in staying:
            continue
        if cleanup.dry_run or not space.artifacts.objects.exists(manifest_key(SHARD_KIND, key)):
            removed.add(item.size)
            cleanup.do(partial(space.artifacts.objects.delete, item.key))


def listed_manifests(space: Workspace) -> dict[Name, StoredObject]:
    """Every artifact that is visible -> its manifest's object."""
    found: dict[Name, StoredObject] = {}
    for item in space.artifacts.objects.listed(MANIFESTS):
        kind, slash, file = item.key.removeprefix(MANIFESTS).partition("/")
        if slash and "/" not in file and file.endswith(".json"):
            found[kind, file.removesuffix(".json")] = item
    return found


def _with_unrecorded(
    space: Workspace, window: Window, manifests: Mapping[Name, StoredObject], cleanup: Cleanup
) -> dict[Name, datetime]:
    """Last uses, after what a killed process committed without recording it got its row."""
    uses = space.catalogue.artifact_uses()
    late: list[tuple[ArtifactRef, datetime]] = []
    for name, manifest in manifests.items():
        if name not in uses and manifest.modified < window.written_before:
            ref = space.artifacts.lookup(*name)
            if ref is None:
                cleanup.notes.append(f"manifest {manifest.key} cannot be read: left alone")
                continue
            late.append((ref, datetime.fromtimestamp(manifest.modified, UTC)))
    if not cleanup.dry_run and late:
        space.catalogue.adopt_artifacts(late)
    return uses | {(ref.kind, ref.key): written for ref, written in late}


def _sweep_rows_without_manifest(
    space: Workspace, window: Window, manifests: Mapping[Name, StoredObject], cleanup: Cleanup
) -> None:
    before = datetime.fromtimestamp(window.written_before, UTC)
    removed = cleanup.kind("rows of artifacts that are gone")
    for name, used in space.catalogue.artifact_uses().items():
        if name in manifests or used >= before or space.artifacts.objects.exists(manifest_key(*name)):
            continue
        if cleanup.dry_run or space.catalogue.forget_artifact(*name, before, lambda: None):
            removed.add()
    removed.count += space.catalogue.remove_shards_without(
        lambda ref: space.artifacts.objects.exists(manifest_key(ref.kind, ref.key)), dry_run=cleanup.dry_run
    )
