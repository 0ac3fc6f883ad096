"""Tensors and arrays as safetensors files, whole or not at all. Loads torch only where tensors are written."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mer.whole_files import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors of any memory layout; of the metadata more than one entry makes files of equal content differ.

    Raises:
        DiskFull, WriteFailed: see `mer.whole_files.write_whole`.
    """
    from safetensors.torch import save_file

    stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
    about = dict(metadata) if metadata is not None else None
    size = sum(tensor.nbytes for tensor in stored.values()) + _header_bytes(stored, about)
    write_whole(path, lambda temporary: save_file(stored, temporary, metadata=about), size=size)


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays; as `write_tensors`."""
    import numpy as np
    from safetensors.numpy import save_file

    stored = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    about = dict(metadata) if metadata is not None else None
    size = sum(array.nbytes for array in stored.values()) + _header_bytes(stored, about)
    write_whole(path, lambda temporary: save_file(stored, temporary, metadata=about), size=size)


def _header_bytes(names: Collection[str], metadata: Mapping[str, str] | None) -> int:
    """About how long the header is: for messages."""
    return 8 + sum(len(name) + 80 for name in names) + len(json.dumps(metadata))
