"""What killed writers left in the home goes, whoever wrote it; what is young, or somebody else's, stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flows.upkeep import put_right
from infra.leftovers import sweep_home
from infra.settings import Settings
from infra.whole_files import LEFTOVER_SECONDS, temporary_name


def _left(path: Path, age: float, *, folder: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        path.mkdir()
        (path / "half").write_bytes(b"half")
    else:
        path.write_bytes(b"half")
    then = time.time() - age
    for item in (path / "half", path) if folder else (path,):
        os.utime(item, (then, then))
    return path


def test_leftovers_go_by_name_and_age(settings: Settings) -> None:
    home, old = settings.home, LEFTOVER_SECONDS + 60
    gone = [
        _left(
            home / "checkpoints" / "fusion" / "key" / temporary_name("checkpoint.safetensors"),
            old,
            folder=True,
        ),
        _left(home / "spool" / temporary_name("1.json"), old),
        _left(home / "cache" / "abc" / "members" / "0" / temporary_name("x.bin"), old, folder=True),
        _left(home / "spool" / "00017-abc.partial", old),  # of earlier versions from here on
        _left(home / "checkpoints" / "fusion" / "key" / ".checkpoint.safetensors.abc123.tmp", old),
        _left(home / "failures" / "0123.partial", old),
    ]
    stays = [
        _left(
            home / "checkpoints" / "fusion" / "key" / temporary_name("checkpoint.safetensors"),
            10,
            folder=True,
        ),
        _left(home / "spool" / "1.json", old),
        _left(home / "services" / "postgres" / "base" / "x.partial", old),
        _left(home / "cache" / "abc" / "index.bin", old),
    ]
    newly = _left(home / "checkpoints" / "fusion" / "key" / temporary_name("y"), old, folder=True)
    (newly / "half").write_bytes(b"its writer is at work")
    assert sweep_home(settings) == len(gone)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in (*stays, newly))


def test_files_of_others_in_the_home_stay(settings: Settings) -> None:
    home, old = settings.home, LEFTOVER_SECONDS + 60
    stays = [
        _left(home / "thesis.partial", old),
        _left(home / "Downloads" / "disk.iso.partial", old),
        _left(home / "Downloads" / temporary_name("theirs"), old),
        _left(home / "data" / "mine" / ".draft.tmp", old),
        _left(home / "cache" / "corpora" / "bucket@0" / "clip.partial", old),
    ]
    gone = [
        _left(home / temporary_name("pruned"), old),
        _left(home / "data" / temporary_name("clip.mp4"), old),
        _left(home / "cache" / "corpora" / "bucket@0" / temporary_name("clip.mp4"), old),
        _left(home / "cache" / "corpora" / ".state" / "0123.partial", old),
    ]
    assert sweep_home(settings) == len(gone)
    assert all(path.exists() for path in stays) and not any(path.exists() for path in gone)


def test_every_start_sweeps(settings: Settings) -> None:
    left = _left(settings.home / "spool" / temporary_name("1.json"), LEFTOVER_SECONDS + 60)
    assert "removed 1 temporary files of writers that were killed" in put_right(settings)
    assert not left.exists() and put_right(settings) == []
