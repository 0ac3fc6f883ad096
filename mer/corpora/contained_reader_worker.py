"""The process in which files of foreign formats are read: `python -m mer.corpora.contained_reader_worker`, started by
`mer.corpora.contained_reader`.

One file, then it ends: plain data in a folder, and one line of JSON on standard output that says how it went.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mer.corpora.parquet_table import parquet_columns
from mer.corpora.plain_data import write_plain
from mer.corpora.restricted_pickle import read_npz, read_pickle
from mer.corpora.workbook import workbook_rows
from mer.errors import CorpusError
from mer.media.process_limits import limit_memory

READERS: Mapping[str, Callable[[Path], Any]] = MappingProxyType(
    {"pickle": read_pickle, "npz": read_npz, "parquet": parquet_columns, "workbook": workbook_rows}
)
"""What reads a file of each kind; each gives plain data."""


def answer(kind: str, path: Path, folder: Path) -> dict[str, Any]:
    """Read a file and write what it holds to `folder`; returns the line that says how it went."""
    try:
        try:
            write_plain(READERS[kind](path), folder)
        except CorpusError as error:
            text = str(error)
            return {"refused": text if path.name in text else f"{path.name} {text}"}
        except (MemoryError, RecursionError) as error:
            return {
                "refused": f"{path.name} takes more memory than a file of its size may ({type(error).__name__})"
            }
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return {"full": str(folder)}
        return {"refused": f"{path.name} cannot be read: {error}"}
    except Exception as error:  # a reader of foreign files: whatever it is, the file is what it says of
        return {"refused": f"{path.name} cannot be read ({type(error).__name__}: {error})"}
    return {"read": True}


def main() -> None:
    """`KIND PATH FOLDER MEMORY_BYTES SECONDS FILE_BYTES`: limits first, then the file."""
    kind, path, folder, memory, seconds, file_bytes = sys.argv[1:]
    said = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever a library prints goes elsewhere
    if kind == "parquet":
        import pyarrow.parquet  # noqa: F401  (its libraries are mapped before the limit is set)
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes), int(file_bytes)))
    limit_memory(int(memory))
    said.write(json.dumps(answer(kind, Path(path), Path(folder))) + "\n")
    said.flush()
    os._exit(0)  # what a hostile file built is not taken apart again: a deep list can crash that


if __name__ == "__main__":
    main()
