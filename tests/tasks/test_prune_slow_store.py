"""A store that is slow to remove blobs keeps no commit of others waiting for all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.prune import blobs
from tasks.prune.report import Cleanup
from tasks.prune.window import Window
from tasks.stage.workspace import workspace

BLOBS, SECONDS = 12, 0.05


def test_commits_wait_for_a_few_blobs_of_a_slow_store_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(blobs, "LONGEST_SECONDS", 2 * SECONDS)
    space = workspace()
    for number in range(BLOBS):
        key = f"{number:064x}"
        space.artifacts.objects.put(f"blobs/{key[:2]}/{key}", b"nothing lists it")
        os.utime(space.settings.home / "objects" / "blobs" / key[:2] / key, (1.0, 1.0))
    delete, still, waits = space.artifacts.objects.delete, space.catalogue.store_kept_still, []

    def slowly(key: str) -> None:
        time.sleep(SECONDS)
        delete(key)

    @contextmanager
    def timed() -> Iterator[object]:
        with still() as now:
            started = time.monotonic()
            yield now
        waits.append(time.monotonic() - started)

    monkeypatch.setattr(space.artifacts.objects, "delete", slowly)
    monkeypatch.setattr(type(space.catalogue), "store_kept_still", lambda self: timed())
    cleanup = Cleanup(dry_run=False)
    now = datetime.now(UTC)
    blobs.sweep_blobs(space, Window(now, now.timestamp()), set(), cleanup)
    assert cleanup.total == BLOBS
    assert len(waits) >= BLOBS // 3
    assert not list(space.artifacts.objects.listed("blobs"))
