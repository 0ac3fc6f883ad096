"""What Keras computes, in NumPy and float64: a model read from its hdf5 file, layer by layer as its own configuration links them.

Written from the documentation of Keras' layers, not from `mer.encoders.mini_xception`, so that the two can be compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float64]
"""(batch, height, width, channels)."""


def outputs_of_layers(path: Path, pixels: Maps) -> dict[str, Maps]:
    """Name of every layer -> what it gives for the input (batch, height, width, channels)."""
    with h5py.File(path, "r") as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
        weights = {layer["name"]: _weights(file["model_weights"][layer["name"]]) for layer in layers}
    outputs: dict[str, Maps] = {}
    for layer in layers:
        config, name = layer["config"], layer["name"]
        given = (
            [outputs[node[0]] for node in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else [pixels]
        )
        outputs[name] = _applied(layer["class_name"], config, weights[name], given)
    return outputs


def _weights(group: Any) -> dict[str, Maps]:
    arrays: dict[str, Maps] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name.rsplit("/", 1)[-1].removesuffix(":0")] = np.asarray(item, dtype=np.float64)

    group.visititems(visit)
    return arrays


def _applied(kind: str, config: dict[str, Any], weights: dict[str, Maps], given: list[Maps]) -> Maps:
    x = given[0]
    if kind == "InputLayer":
        return x
    if kind == "Add":
        return given[0] + given[1]
    if kind == "Conv2D":
        out = _convolved(x, weights["kernel"], config["strides"], config["padding"])
        return out + weights["bias"] if config["use_bias"] else out
    if kind == "SeparableConv2D":
        windows = _windows(x, config["kernel_size"], config["strides"], config["padding"], 0.0)
        depthwise = np.einsum("bijckl,klc->bijc", windows, weights["depthwise_kernel"][..., 0])
        return depthwise @ weights["pointwise_kernel"][0, 0]
    if kind == "BatchNormalization":
        scale = weights["gamma"] / np.sqrt(weights["moving_variance"] + config["epsilon"])
        return (x - weights["moving_mean"]) * scale + weights["beta"]
    if kind == "MaxPooling2D":
        return _windows(x, config["pool_size"], config["strides"], config["padding"], -np.inf).max(
            axis=(4, 5)
        )
    if kind == "GlobalAveragePooling2D":
        return x.mean(axis=(1, 2))
    assert kind == "Activation", kind
    if config["activation"] == "relu":
        return np.maximum(x, 0)
    assert config["activation"] == "softmax"
    shares = np.exp(x - x.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def _convolved(x: Maps, kernel: Maps, strides: list[int], padding: str) -> Maps:
    windows = _windows(x, list(kernel.shape[:2]), strides, padding, 0.0)
    return np.einsum("bijckl,klco->bijo", windows, kernel, optimize=True)


def _windows(x: Maps, size: list[int], strides: list[int], padding: str, fill: float) -> Maps:
    """(batch, rows, columns, channels, height, width) of every window; `same` pads the odd pixel at the end."""
    if padding == "same":
        margins = [(0, 0)]
        for length, window, stride in zip(x.shape[1:3], size, strides, strict=True):
            total = max((-(-length // stride) - 1) * stride + window - length, 0)
            margins.append((total // 2, total - total // 2))
        x = np.pad(x, [*margins, (0, 0)], constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    return windows[:, :: strides[0], :: strides[1]]
