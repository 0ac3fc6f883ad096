"""Weights of another format, converted once into a folder of safetensors below the cache of weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.encoders.weight_files import check_folder, read_json, sha256_remembered
from mer.tensor_files import write_arrays
from mer.whole_files import write_folder, write_whole

TENSORS, RECORD = "model.safetensors", "conversion.json"


@dataclass(frozen=True)
class Converter:
    """How one kind of file becomes a folder of weights."""

    name: str
    """Of the folder and of the converter, e.g. `moonshine`."""
    folder_stem: str
    """First part of the folder's name."""
    version: int
    """Raised whenever the same file would be converted into other tensors."""
    write: Callable[[Path, Path], None]
    """Writes of a file (first path) `model.safetensors` and the files beside it into a folder (second path); raises WeightsError
    where it is another file."""

    def converted(self, source: Path, cache: Path) -> tuple[Path, str]:
        """Folder of the converted weights below `cache`, and their identity.

        Converts on the first call, and again where the converted file is not what was written. The identity is
        that of the file and the converter, so it does not depend on the library version that wrote the tensors.

        Raises:
            WeightsError: `source` is not a file that this converter reads.
        """
        digest = sha256_remembered(source, cache)
        signed = f"{digest} {self.name}-converter {self.version}"
        folder = cache / f"{self.folder_stem}-{digest[:12]}-v{self.version}"
        if not _is_whole(folder, cache):
            self._convert(source, folder)
        check_folder(folder)
        return folder, "sha256:" + hashlib.sha256(signed.encode()).hexdigest()

    def _convert(self, source: Path, folder: Path) -> None:
        """Write the converted weights, the record last."""

        def fill(within: Path) -> None:
            self.write(source, within)
            with (within / TENSORS).open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            write_whole(within / RECORD, json.dumps({"sha256": digest}).encode())

        write_folder(folder, fill, last=RECORD)


def writer_of(
    read: Callable[[Path], Mapping[str, NDArray[np.float32]]], config: Mapping[str, Any]
) -> Callable[[Path, Path], None]:
    """A `Converter.write` of tensors and `config.json`.

    Args:
        read: tensors of a file by the model's names.
        config: what `config.json` says of the model.
    """

    def write(source: Path, within: Path) -> None:
        write_arrays(within / TENSORS, read(source), {"format": "pt"})
        write_json(within / "config.json", config)

    return write


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON, sorted by name."""
    write_whole(path, json.dumps(dict(values), indent=1, sort_keys=True).encode())


def _is_whole(folder: Path, cache: Path) -> bool:
    """Whether the folder is a finished conversion whose tensors are as they were written."""
    if not (folder / TENSORS).is_file() or not (folder / RECORD).is_file():
        return False
    return read_json(folder / RECORD).get("sha256") == sha256_remembered(folder / TENSORS, cache)
