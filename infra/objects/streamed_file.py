"""An object's content as a local file, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infra.whole_files import write_whole


def write_streamed(path: Path, chunks: Iterator[bytes], size: int | None = None) -> None:
    """Write chunks to `path`; `size` is their bytes, where that is known.

    Raises:
        StoreFull, WriteFailed: it cannot be written. Errors of the stream pass.
    """

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as sink:
            for chunk in chunks:
                sink.write(chunk)

    write_whole(path, fill, size=size)
