"""A file system of a few pages that can be filled and freed: a tmpfs where we may mount one, else `fsync` that finds it full."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILLER = "filler"


class SmallDisk:
    """A folder on a file system of its own.

    Args:
        root: where it is.
        mounted: whether it is real.
    """

    def __init__(self, root: Path, mounted: bool) -> None:
        self.root = root
        self.mounted = mounted
        self._fsync = os.fsync

    def fill(self) -> None:
        """Leave no byte."""
        if not self.mounted:
            os.fsync = _full
            return
        with (self.root / FILLER).open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC

    def free(self) -> None:
        """Give all of it back."""
        os.fsync = self._fsync
        (self.root / FILLER).unlink(missing_ok=True)

    def grow(self, kilobytes: int) -> None:
        """Make a mounted one larger."""
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(self.root)], check=True)


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def small_disk(root: Path, kilobytes: int) -> Iterator[SmallDisk]:
    """Mount one at `root`, a new folder; without the right to mount it is only said to be full."""
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,nr_inodes=0", "tmpfs", str(root)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    disk = SmallDisk(root, mounted)
    try:
        yield disk
    finally:
        disk.free()
        if mounted:
            subprocess.run(["umount", "-l", str(root)], check=True)
