"""Failures that should pass, counted over runs by feature set and content: one that never passes ends no run for ever.

A decoder that the system kills for want of memory looks, each time, like one that was killed by chance. A clip that fails so in
`RUNS` runs is absent from then on, with its reason, like any other clip that cannot be read. Where most of a large shard fails
at once, the machine is at fault (a disk that is not mounted), and nothing is counted.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path

from infra.errors import UNREADABLE
from infra.locking import locked
from infra.whole_files import write_whole

RUNS = 3
"""Runs after which a failure is taken for the clip's."""
FOLDER = "failures"
"""Folder of the home that the counts lie in."""
_FEW = 16
"""Up to so many clips are counted even where nothing else is left to try."""


def failed_too_often(home: Path, feature_key: str, failed: Sequence[str], tried: int) -> frozenset[str]:
    """Count a failed run for these contents; gives those that have failed in `RUNS` runs now.

    Args:
        home: folder of the installation.
        feature_key: key of the feature set.
        failed: contents that failed for a reason that should pass.
        tried: number of contents that were tried with them.

    Raises:
        HomeUnusable: files cannot be locked there.
        StoreFull, WriteFailed: the counts cannot be written.
    """
    if not failed or _is_of_the_machine(failed, tried):
        return frozenset()
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{feature_key}.json"
    with locked(folder / f"{feature_key}.lock"):
        counts = _read(path)
        for content in failed:
            counts[content] = counts.get(content, 0) + 1
        write_whole(path, json.dumps(counts).encode())
    return frozenset(content for content in failed if counts[content] >= RUNS)


def _is_of_the_machine(failed: Collection[str], tried: int) -> bool:
    return len(failed) > _FEW and 2 * len(failed) > tried


def _read(path: Path) -> dict[str, int]:
    """The counts; none where there is no file, or one that cannot be read: then clips are tried more often."""
    with contextlib.suppress(*UNREADABLE):
        counts = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(counts, dict):
            return {str(content): count for content, count in counts.items() if isinstance(count, int)}
    return {}
