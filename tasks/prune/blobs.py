"""Blobs that no manifest lists.

All manifests are read first; then blobs go in batches, during each of which no commit is recorded: what was committed since is
looked at before anything is removed, and a commit that is recorded after looks whether its blobs are there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from infra.artifacts import Manifest, blob_key, manifest_key
from infra.errors import ArtifactCorrupt, ObjectMissing
from infra.objects.interface import StoredObject
from infra.objects.layout import BLOBS, IDENTITY, MANIFESTS, PROBES, RECORDS
from tasks.prune.artifacts import Name, listed_manifests
from tasks.prune.report import Cleanup
from tasks.prune.window import Window
from tasks.stage.workspace import Workspace

BATCH = 64
"""Blobs removed while commits wait."""
LONGEST_SECONDS = 3.0
"""And how long these wait at most, where the store is slow: others give the catalogue up after some time."""
_AT_ONCE = 8
"""Manifests read side by side."""


class UnreadableManifest(Exception):
    """What a manifest lists is not known, so no blob may go."""


def sweep_blobs(space: Workspace, window: Window, staying: Collection[Name], cleanup: Cleanup) -> None:
    """Remove old blobs that nothing lists.

    Args:
        space: the stores.
        window: what is old.
        staying: artifacts that stay; of others the manifest is gone, or would be.
        cleanup: how, and what came of it.
    """
    removed = cleanup.kind("blobs", 0, 0)
    candidates = [
        item
        for item in space.artifacts.objects.listed(BLOBS)
        if item.modified < window.written_before and item.key == blob_key(item.key.rpartition("/")[2])
    ]
    cleanup.check_time()
    if not candidates:
        return
    recorded = dict(space.catalogue.artifact_manifests())  # first: what is recorded later is looked at later
    names = staying if cleanup.dry_run else listed_manifests(space)
    try:
        listed = _blobs_of(space, names, cleanup)
    except UnreadableManifest as error:
        cleanup.notes.append(f"no blob is removed: {error}")
        return
    unlisted = deque(item for item in candidates if item.key not in listed)
    if cleanup.dry_run:
        for item in unlisted:
            removed.add(item.size)
        return
    while unlisted:
        cleanup.check_time()
        with space.catalogue.store_kept_still() as now:
            new = [name for name, sha256 in now.items() if recorded.get(name) != sha256]
            try:
                listed |= _blobs_of(space, new, cleanup)
            except UnreadableManifest as error:
                cleanup.notes.append(f"no more blobs are removed: {error}")
                return
            recorded = now
            until = time.monotonic() + LONGEST_SECONDS
            for _ in range(min(BATCH, len(unlisted))):
                item = unlisted.popleft()
                if item.key not in listed and _is_still_old(space, item, window):
                    space.artifacts.objects.delete(item.key)
                    removed.add(item.size)
                if time.monotonic() > until:
                    break


def count_others(space: Workspace, cleanup: Cleanup) -> None:
    """Say what lies in the store that is neither manifest nor blob; it is left alone."""
    others = [
        item
        for item in space.artifacts.objects.listed()
        if not item.key.startswith((MANIFESTS, BLOBS, RECORDS, PROBES, IDENTITY))
    ]
    if others:
        size = sum(item.size for item in others) / 1e6
        cleanup.notes.append(f"{len(others)} other objects ({size:.1f} MB) in the store are left alone")


def _is_still_old(space: Workspace, item: StoredObject, window: Window) -> bool:
    now = space.artifacts.objects.found(item.key)
    return now is not None and now.modified < window.written_before


def _blobs_of(space: Workspace, names: Iterable[Name], cleanup: Cleanup) -> set[str]:
    """Keys of all blobs that the manifests of these artifacts list; an artifact that is gone lists none."""

    def read(name: Name) -> set[str]:
        cleanup.check_time()
        try:
            data = space.artifacts.objects.get(manifest_key(*name))
            return {blob_key(entry.sha256) for entry in Manifest.from_bytes(data).files.values()}
        except ObjectMissing:
            return set()
        except ArtifactCorrupt as error:
            raise UnreadableManifest(
                f"manifest {manifest_key(*name)} cannot be read ({error}); remove it, so that its artifact is computed again"
            ) from error

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mark") as pool:
        return set().union(*pool.map(read, names))
