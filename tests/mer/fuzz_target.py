"""Coverage-guided fuzzing of the readers written in Python: `python tests/mer/fuzz_target.py CORPUS [-max_total_time=60]`.

The first byte of an input chooses the reader. Anything but data or an error of ours ends the run, with the input in a file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["mer.corpora", "mer.media", "mer.recipes", "mer.npy_header", "mer.features"]
):
    from header_fields import READERS

from mer.errors import MerError

NAMES = sorted(READERS)
_folder = Path(tempfile.mkdtemp(prefix="mer-fuzz-"))


def one_input(data: bytes) -> None:
    """Give the input to the reader that its first byte names."""
    if not data:
        return
    _, file, read = READERS[NAMES[data[0] % len(NAMES)]]
    path = _folder / file
    path.write_bytes(data[1:])
    try:
        read(path)
    except MerError:
        pass
    finally:
        path.unlink()


def write_seeds(folder: Path) -> None:
    """A sound input for each reader."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        (folder / f"{number:02d}").write_bytes(bytes([number]) + READERS[name][0])


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
