"""Moonshine-tiny's encoder out of the `moonshine-voice` wheel (Useful Sensors, MIT): int8 graph ->
safetensors.

The wheel (0.0.65) ships `assets/tiny-en/encoder_model.ort`, a flatbuffer of onnxruntime: 8-bit matrices with
one scale and zero point each, float convolutions and norms. They are read by onnxruntime's own flatbuffer
classes, named after the graph's nodes and written once as `transformers`' MoonshineEncoder. The package
itself is never imported (it loads native audio libraries).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.encoders.conversion import Converter, writer_of
from mer.encoders.weight_files import wheel_folder
from mer.errors import WeightsError

CONVERTER_VERSION = 1
"""Raised whenever the same graph would be converted into other tensors."""

GRAPH = Path("assets/tiny-en/encoder_model.ort")

LAYERS = 6

CONFIG: dict[str, Any] = {
    "architectures": ["MoonshineEncoder"], "model_type": "moonshine", "dtype": "float32",
    "hidden_size": 288, "intermediate_size": 1152, "is_encoder_decoder": True, "vocab_size": 32768,
    "encoder_num_hidden_layers": LAYERS, "encoder_num_attention_heads": 8, "encoder_num_key_value_heads": 8,
    "decoder_num_hidden_layers": 6, "decoder_num_attention_heads": 8, "decoder_num_key_value_heads": 8,
    "encoder_hidden_act": "gelu", "decoder_hidden_act": "silu", "max_position_embeddings": 512,
    "attention_bias": False, "attention_dropout": 0.0, "pad_head_dim_to_multiple_of": None,
    "rope_parameters": {"partial_rotary_factor": 0.9, "rope_theta": 10000.0, "rope_type": "default"},
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None,
}  # fmt: skip

_RENAMED = {
    "conv1.weight_add_tensor": "conv1.weight", "conv2.weight_add_tensor": "conv2.weight",
    "conv3.weight_add_tensor": "conv3.weight", "conv2.bias": "conv2.bias", "conv3.bias": "conv3.bias",
    "layer_norm.weight": "layer_norm.weight",
}  # fmt: skip
_UNRENAMED = re.compile(
    r"layers\.\d+\.(input_layernorm\.weight|post_attention_layernorm\.weight|mlp\.fc[12]\.bias)"
)
_MATRIX = re.compile(r"/layers\.(\d+)/(self_attn|mlp)/([qkvo]_proj|fc[12])/MatMul_quant")

# onnx.TensorProto.DataType
_DTYPES = {1: np.dtype("<f4"), 2: np.dtype("u1"), 3: np.dtype("i1"), 7: np.dtype("<i8")}


def graph_path() -> Path:
    """The wheel's encoder graph.

    Raises:
        WeightsError: the wheel is absent or of a version without the graph.
    """
    path = wheel_folder("moonshine_voice", "moonshine-voice==0.0.65") / GRAPH
    if not path.is_file():
        raise WeightsError(
            f"expected {GRAPH} in the moonshine-voice wheel, found none: later wheels no longer ship it, "
            "install moonshine-voice==0.0.65"
        )
    return path


def converted_moonshine(cache: Path) -> tuple[Path, str]:
    """Folder of the converted encoder below `cache`, and its identity; see `Converter.converted`."""
    converter = Converter("moonshine", "moonshine-tiny", CONVERTER_VERSION, writer_of(read_encoder, CONFIG))
    return converter.converted(graph_path(), cache)


def read_encoder(graph: Path) -> dict[str, NDArray[np.float32]]:
    """Tensors of the graph under MoonshineEncoder's names, float32.

    Raises:
        WeightsError: the file is no onnxruntime model, or not this encoder.
    """
    stored, nodes = _read_graph(graph)
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, values in stored.items():
        if name in _RENAMED or _UNRENAMED.fullmatch(name):
            tensors[_RENAMED.get(name, name)] = values.astype(np.float32)
    for operation, node, inputs in nodes:
        if match := _MATRIX.fullmatch(node):
            layer, block, linear = match.groups()
            tensors[f"layers.{layer}.{block}.{linear}.weight"] = _dequantised(stored, inputs)
        elif operation in {"Mul", "Add"} and node.startswith("/groupnorm/"):
            which = "weight" if operation == "Mul" else "bias"
            constant = next((stored[name] for name in inputs if name in stored), None)
            if constant is not None:
                tensors[f"groupnorm.{which}"] = constant.reshape(-1).astype(np.float32)
    expected = 3 + 2 + 2 + 1 + 10 * LAYERS
    if len(tensors) != expected:
        raise WeightsError(
            f"{graph.name}: expected {expected} tensors of Moonshine's encoder, found {len(tensors)}"
        )
    return tensors


def _dequantised(stored: dict[str, NDArray[Any]], inputs: list[str]) -> NDArray[np.float32]:
    """(out, in) float32 of one quantised matrix; ONNX stores (in, out)."""
    name = next(
        (input_name for input_name in inputs if input_name in stored and input_name.endswith("_quantized")),
        None,
    )
    if name is None:
        raise WeightsError(f"expected a quantised matrix among {inputs}, found none")
    base = name.removesuffix("_quantized")
    scale, zero = stored[f"{base}_scale"].astype(np.float32), stored[f"{base}_zero_point"].astype(np.int32)
    return np.ascontiguousarray(((stored[name].astype(np.int32) - zero) * scale).T, dtype=np.float32)


def _read_graph(path: Path) -> tuple[dict[str, NDArray[Any]], list[tuple[str, str, list[str]]]]:
    """Stored tensors by name, and (operation, name, inputs) of the nodes."""
    # The import puts the flatbuffer classes on sys.path, as they import each other from the top.
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    data = path.read_bytes()
    if not InferenceSession.InferenceSessionBufferHasIdentifier(data, 0):
        raise WeightsError(f"{path}: expected a model in onnxruntime's own format, found something else")
    graph = InferenceSession.GetRootAs(data, 0).Model().Graph()
    stored = {}
    for index in range(graph.InitializersLength()):
        tensor = graph.Initializers(index)
        if (dtype := _DTYPES.get(tensor.DataType())) is not None and tensor.RawDataLength() > 0:
            shape = [tensor.Dims(axis) for axis in range(tensor.DimsLength())]
            stored[tensor.Name().decode()] = tensor.RawDataAsNumpy().view(dtype).reshape(shape)
    return stored, list(_nodes(graph))


def _nodes(graph: Any) -> Iterator[tuple[str, str, list[str]]]:
    for index in range(graph.NodesLength()):
        node = graph.Nodes(index)
        inputs = [node.Inputs(input_index).decode() for input_index in range(node.InputsLength())]
        yield node.OpType().decode(), node.Name().decode(), inputs
