"""Clips that came to a folder or bucket and that a corpus does not have yet: whole files only, each content once.

Where files are written by others nothing says that one is finished. So a file is whole once its size and time of change have
stood still for a while; files that have not are counted, for whoever wants to wait for them. Objects in a bucket appear whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.catalogue import Catalogue, KnownFile
from infra.errors import CatalogueError
from infra.objects.bucket_address import BucketAddress
from infra.objects.mirror import BucketMirror
from infra.settings import Settings
from mer.media.content_hash import sha256_file
from mer.media.suffixes import is_hidden, is_media_file


@dataclass(frozen=True)
class Arrivals:
    """What a look found."""

    new: frozenset[str]
    """Contents that the corpus lacks: sha256 of files, etag and size of objects."""
    unfinished: int
    """Files that may still be written."""
    clips: int
    """All media files that are there."""


class Source(Protocol):
    """Where clips arrive."""

    def look(self, catalogue: Catalogue) -> Arrivals:
        """What is there now. Raises InfraError or OSError where it cannot be read at the moment."""


class FolderSource:
    """A folder and all folders below it."""

    def __init__(
        self,
        root: Path,
        corpus: str,
        settle_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root, self._corpus, self._settle_seconds, self._clock = root, corpus, settle_seconds, clock
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        """Path -> size and time of change, and since when they stand still by our clock."""
        self._hashed: dict[str, tuple[tuple[int, int], str]] = {}
        self._catalogued: set[int] = set()
        """Hashes of path and stamp of files that the catalogue has: not asked for again, and small where there are millions."""

    def look(self, catalogue: Catalogue) -> Arrivals:
        """See `Source`; a file is read once, and again where it changed."""
        if not self._root.is_dir():
            raise FileNotFoundError(f"expected a folder, found none at {self._root}")
        now, unfinished, clips = self._clock(), 0, 0
        fresh: dict[str, tuple[int, int]] = {}
        for path, stamp in self._files():
            clips += 1
            if hash((path, stamp)) not in self._catalogued:
                fresh[path] = stamp
        known = self._known(catalogue, fresh)
        found: set[str] = set()
        for path, stamp in fresh.items():
            file = known.get(path)
            if file is not None and (file.size, file.mtime_ns) == stamp:
                self._catalogued.add(hash((path, stamp)))
            elif not self._stands_still(path, stamp, now):
                unfinished += 1
            elif stamp[0] and (content := self._content(path, stamp)) is not None:
                found.add(content)
        for gone in set(self._seen) - fresh.keys():
            self._seen.pop(gone)
            self._hashed.pop(gone, None)
        return Arrivals(frozenset(found - self._contents(catalogue, found)), unfinished, clips)

    def _known(self, catalogue: Catalogue, paths: Collection[str]) -> dict[str, KnownFile]:
        """Catalogued files of these paths: of all at the first look, then of the few that were not there at the last one."""
        try:
            return catalogue.known_files(self._corpus, paths)
        except CatalogueError:  # the corpus is not catalogued yet
            return {}

    def _contents(self, catalogue: Catalogue, contents: Collection[str]) -> set[str]:
        """Those of these contents that the corpus has under any name."""
        try:
            return catalogue.known_contents(self._corpus, contents) if contents else set()
        except CatalogueError:
            return set()

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for folder, folders, names in os.walk(self._root):
            folders[:] = [name for name in folders if not is_hidden(name)]
            for name in sorted(names):
                path = Path(folder) / name
                if not is_media_file(path):
                    continue
                try:
                    found = path.stat()
                except OSError:  # gone since it was listed
                    continue
                yield str(path), (found.st_size, found.st_mtime_ns)

    def _stands_still(self, path: str, stamp: tuple[int, int], now: float) -> bool:
        before, since = self._seen.get(path, ((-1, -1), now))
        if before != stamp:
            self._seen[path] = stamp, now
            return False
        return now - since >= self._settle_seconds

    def _content(self, path: str, stamp: tuple[int, int]) -> str | None:
        """sha256; None where it cannot be read, as ingestion will say."""
        if (done := self._hashed.get(path)) is not None and done[0] == stamp:
            return done[1]
        try:
            content = sha256_file(Path(path))
        except OSError:
            return None
        self._hashed[path] = stamp, content
        return content


class BucketSource:
    """A folder in a bucket, compared with what this home has fetched of it."""

    def __init__(self, address: str, settings: Settings) -> None:
        self._mirror = BucketMirror(BucketAddress.parse(address, settings), settings)

    def look(self, catalogue: Catalogue) -> Arrivals:
        """See `Source`; nothing is fetched."""
        objects = [item for item in self._mirror.objects() if is_media_file(Path(item.path))]
        fetched = set(self._mirror.fetched().values())
        new = {(item.etag, item.size) for item in objects if item.size} - fetched
        return Arrivals(frozenset(f"{etag}:{size}" for etag, size in new), 0, len(objects))
