"""One file in which a killed training run is found again: tensors and a JSON record, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, uint8

from mer.tensor_files import write_tensors

_HEADER = "checkpoint"
"""The one key of the file's own metadata: safetensors writes several in an order that changes from file to file."""

_HEADER_BYTES = 16 << 20
"""Longest header that is read: it takes some twenty times its size in memory."""
_BLOCK_BYTES = 512
_MOST_HOLES = 64
"""Bytes of a file for each byte on the disk: file systems compress, but weights not as far as this."""


class Checkpoint:
    """A checkpoint file that is either complete and verified, or treated as absent.

    Args:
        path: the file (safetensors; the JSON record is in its header). Its folder is created on save.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Replace the checkpoint by `tensors` and the JSON record `meta`.

        Equal content gives equal bytes. A kill at any point leaves the old or the new one. Tensors are copied to
        the processor's memory; views and shared storages are made contiguous first.

        Raises:
            DiskFull, WriteFailed: it cannot be written; the old one is unchanged.
        """
        stored = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        record = json.dumps(meta, sort_keys=True, allow_nan=True)
        header = json.dumps({"meta": record, "sha256": content_digest(stored, record)}, sort_keys=True)
        if len(header) > _HEADER_BYTES // 2:  # it is JSON within JSON, so that quotes are escaped
            raise ValueError(
                f"expected a record of less than {_HEADER_BYTES // 2} bytes, found {len(header)}"
            )
        write_tensors(self.path, stored, {_HEADER: header})

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The saved tensors and record; None where there is no checkpoint or its bytes are not as saved."""
        try:
            return self._read() if _is_plausible(self.path) else None
        except Exception:  # a header made on purpose can make its readers raise anything
            return None

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        with safe_open(self.path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            record, expected = header["meta"], header["sha256"]
            # copied: in the file they lie at any address, and matrix products may round by the address of their operands
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if expected != content_digest(tensors, record):
            return None
        meta = json.loads(record)
        return (tensors, meta) if isinstance(meta, dict) else None

    def clear(self) -> None:
        """Remove the checkpoint, if there is one."""
        self.path.unlink(missing_ok=True)


def _is_plausible(path: Path) -> bool:
    """Whether reading the file takes memory in proportion to what lies on the disk, and its header is no larger than ours are.

    A file of holes takes no room there and all of it in memory.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > status.st_blocks * _BLOCK_BYTES * _MOST_HOLES:
        return False
    with path.open("rb") as file:
        return int.from_bytes(file.read(8), "little") <= _HEADER_BYTES


def content_digest(tensors: Mapping[str, Tensor], record: str = "") -> str:
    """sha256 (hex) over names, types, shapes and bytes of `tensors`, and the text `record`."""
    digest = hashlib.sha256(record.encode("utf-8"))
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(uint8).numpy().data)
    return digest.hexdigest()
