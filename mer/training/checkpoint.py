"""One file in which a killed training run is found again: tensors and a JSON record, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, uint8

from mer.tensor_files import write_tensors

_HEADER = "checkpoint"
"""The one key of the file's own metadata: safetensors writes several in an order that changes from file to file."""


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
        write_tensors(self.path, stored, {_HEADER: header})

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The saved tensors and record; None where there is no checkpoint or its bytes are not as saved."""
        try:
            with safe_open(self.path, framework="pt") as file:
                header = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
                record, expected = header.get("meta", ""), header.get("sha256")
                # copied: in the file they lie at any address, and matrix products may round by the address of their operands
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        except (OSError, SafetensorError, ValueError, TypeError, AttributeError):
            return None
        if expected != content_digest(tensors, record):
            return None
        meta: dict[str, Any] = json.loads(record)
        return tensors, meta

    def clear(self) -> None:
        """Remove the checkpoint, if there is one."""
        self.path.unlink(missing_ok=True)


def content_digest(tensors: Mapping[str, Tensor], record: str = "") -> str:
    """sha256 (hex) over names, types, shapes and bytes of `tensors`, and the text `record`."""
    digest = hashlib.sha256(record.encode("utf-8"))
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(uint8).numpy().data)
    return digest.hexdigest()
