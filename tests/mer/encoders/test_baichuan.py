"""Baichuan from a checkpoint as it is published (names, packed weights, shards), against a loop over tokens."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from mer.encoders.baichuan import BaichuanModel, alibi_slopes, baichuan_config, load_baichuan
from mer.encoders.lexical import load_lexical
from mer.encoders.placement import Placement
from mer.encoders.weights import ResolvedWeights, resolve_weights
from mer.errors import WeightsError

WIDTH, INNER, LAYERS, VOCABULARY = 24, 40, 2, 30
EPSILON = 1e-6
CODE = {"AutoModelForCausalLM": "modeling_baichuan.BaichuanForCausalLM"}


def config(heads: int, *, rotary: bool) -> dict[str, Any]:
    """Keys as in the published 7B (rotary) and 13B (ALiBi) configurations, code of their own included."""
    values: dict[str, Any] = {
        "model_type": "baichuan", "auto_map": CODE, "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": heads, "vocab_size": VOCABULARY,
        "rms_norm_eps": EPSILON, "hidden_act": "silu", "pad_token_id": 0, "model_max_length": 64,
    }  # fmt: skip
    return values | ({"max_position_embeddings": 64} if rotary else {})


def checkpoint(folder: Path, heads: int, *, rotary: bool) -> dict[str, Tensor]:
    """Random weights under Baichuan's names in two shards; returns them."""
    generator = torch.Generator().manual_seed(heads)

    def random(*shape: int, around: float = 0.0) -> Tensor:
        return around + 0.3 * torch.randn(*shape, generator=generator)

    weights = {"model.embed_tokens.weight": random(VOCABULARY, WIDTH)}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        weights |= {
            name + "self_attn.W_pack.weight": random(3 * WIDTH, WIDTH),
            name + "self_attn.o_proj.weight": random(WIDTH, WIDTH),
            name + "mlp.gate_proj.weight": random(INNER, WIDTH),
            name + "mlp.up_proj.weight": random(INNER, WIDTH),
            name + "mlp.down_proj.weight": random(WIDTH, INNER),
            name + "input_layernorm.weight": random(WIDTH, around=1.0),
            name + "post_attention_layernorm.weight": random(WIDTH, around=1.0),
        }
    weights |= {"model.norm.weight": random(WIDTH, around=1.0), "lm_head.weight": random(VOCABULARY, WIDTH)}
    if rotary:
        weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    folder.mkdir(parents=True, exist_ok=True)
    names = list(weights)
    for number, part in enumerate((names[:6], names[6:])):
        shard = {name: weights[name].contiguous() for name in part}
        save_file(shard, folder / f"model-0000{number + 1}-of-00002.safetensors")
    (folder / "config.json").write_text(json.dumps(config(heads, rotary=rotary)))
    words = {f"w{number}": number for number in range(VOCABULARY - 1)} | {"<unk>": VOCABULARY - 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["t.T", None]}}))
    return weights


# --- the naive reference: one token at a time, one head at a time, keys one by one ---


def rms(vector: Tensor, weight: Tensor) -> Tensor:
    return weight * vector / math.sqrt(float(vector.square().mean()) + EPSILON)


def rotate(vector: Tensor, position: int) -> Tensor:
    """Pairs (i, i + half) turned by position / 10000^(2i / width), as Llama does."""
    half = vector.numel() // 2
    turned = vector.clone()
    for pair in range(half):
        angle = position * 10_000 ** (-2 * pair / vector.numel())
        first, second = vector[pair], vector[pair + half]
        turned[pair] = first * math.cos(angle) - second * math.sin(angle)
        turned[pair + half] = second * math.cos(angle) + first * math.sin(angle)
    return turned


def naive_states(weights: dict[str, Tensor], ids: list[int], heads: int, *, rotary: bool) -> list[Tensor]:
    """Hidden states 0..LAYERS of unpadded tokens, the last one normed."""
    size = WIDTH // heads
    hidden = [weights["model.embed_tokens.weight"][one] for one in ids]
    states = [torch.stack(hidden)]
    for layer in range(LAYERS):
        part = {
            name.removeprefix(f"model.layers.{layer}."): value
            for name, value in weights.items()
            if name.startswith(f"model.layers.{layer}.")
        }
        packed = [
            part["self_attn.W_pack.weight"] @ rms(one, part["input_layernorm.weight"]) for one in hidden
        ]
        after = []
        for place, query_packed in enumerate(packed):
            outputs = []
            for head in range(heads):
                cut = slice(head * size, (head + 1) * size)
                query = query_packed[:WIDTH][cut]
                scores = []
                for other in range(place + 1):
                    key = packed[other][WIDTH : 2 * WIDTH][cut]
                    if rotary:
                        score = rotate(query, place) @ rotate(key, other) / math.sqrt(size)
                    else:
                        score = query @ key / math.sqrt(size) + alibi_slopes(heads)[head] * (other - place)
                    scores.append(score)
                shares = torch.softmax(torch.stack(scores), dim=0)
                outputs.append(
                    sum(share * packed[other][2 * WIDTH :][cut] for other, share in enumerate(shares))
                )
            attended = hidden[place] + part["self_attn.o_proj.weight"] @ torch.cat(outputs)  # type: ignore[arg-type]
            normed = rms(attended, part["post_attention_layernorm.weight"])
            gate = torch.nn.functional.silu(part["mlp.gate_proj.weight"] @ normed)
            mlp = part["mlp.down_proj.weight"] @ (gate * (part["mlp.up_proj.weight"] @ normed))
            after.append(attended + mlp)
        hidden = after
        states.append(torch.stack(hidden))
    states[-1] = torch.stack([rms(one, weights["model.norm.weight"]) for one in hidden])
    return states


CASES = pytest.mark.parametrize(
    ("heads", "rotary"), [(4, True), (4, False), (6, False)], ids=["7B", "13B", "13B, heads no power of two"]
)


@CASES
def test_hidden_states_are_those_of_the_naive_reference(tmp_path: Path, heads: int, rotary: bool) -> None:
    weights = checkpoint(tmp_path, heads, rotary=rotary)
    encoder = load_lexical(resolve_weights(str(tmp_path), tmp_path / "cache"))
    ids = [3, 1, 4, 1, 5, 9, 2, 6]
    expected = naive_states(weights, ids, heads, rotary=rotary)
    found = encoder.states(" ".join(f"w{one}" for one in ids), (0, 1, 2))
    for state, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(state, reference, rtol=1e-4, atol=1e-5)


@CASES
def test_padding_on_either_side_changes_nothing(tmp_path: Path, heads: int, rotary: bool) -> None:
    checkpoint(tmp_path, heads, rotary=rotary)
    model = load_baichuan(resolve_weights(str(tmp_path), tmp_path / "cache"))
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    padding = torch.tensor([[7, 7, 7]])
    with torch.inference_mode():
        alone = model(ids, torch.ones(1, 5, dtype=torch.long))
        left = model(torch.cat([padding, ids], 1), torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]]))
        right = model(torch.cat([ids, padding], 1), torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0]]))
    torch.testing.assert_close(left[:, 3:], alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(right[:, :5], alone, rtol=1e-4, atol=1e-5)
    assert torch.isfinite(left).all()


def test_batches_of_texts_are_the_texts_one_by_one(tmp_path: Path) -> None:
    checkpoint(tmp_path, 6, rotary=False)
    encoder = load_lexical(resolve_weights(str(tmp_path), tmp_path / "cache"))
    texts = [encoder.tokens(text) for text in ("w1 w2 w3 w4", "w5", "w6 w7")]
    for text, states in zip(texts, encoder.states_of_batch(texts, (1, 2)), strict=True):
        (alone,) = encoder.states_of_batch([text], (1, 2))
        for found, expected in zip(states, alone, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_slopes_are_those_of_the_paper() -> None:
    assert alibi_slopes(8) == [2.0**-power for power in range(1, 9)]
    forty = alibi_slopes(40)  # 13B
    assert len(set(forty)) == 40
    assert forty[:32] == [2 ** (-power / 4) for power in range(1, 33)]
    assert forty[32:] == [2 ** (-power / 8) for power in range(1, 16, 2)]


def test_bf16_stays_near(tmp_path: Path) -> None:
    checkpoint(tmp_path, 4, rotary=False)
    resolved = resolve_weights(str(tmp_path), tmp_path / "cache")
    exact = load_lexical(resolved).states("w1 w2 w3", (2,))[0]
    fast = load_lexical(resolved, Placement(precision="bf16")).states("w1 w2 w3", (2,))[0]
    assert fast.dtype == torch.bfloat16
    assert float(torch.cosine_similarity(exact.flatten(), fast.float().flatten(), dim=0)) > 0.999


@pytest.mark.parametrize(
    ("values", "alibi", "parameters"),
    [
        ({"hidden_size": 5120, "intermediate_size": 13_696, "num_attention_heads": 40}, True, 315_238_400),
        (
            {"hidden_size": 4096, "intermediate_size": 11_008, "num_attention_heads": 32,
             "max_position_embeddings": 4096},
            False,
            202_383_360,
        ),
    ],
    ids=["13B", "7B"],
)  # fmt: skip
def test_shapes_at_full_width(values: dict[str, Any], alibi: bool, parameters: int) -> None:
    """Without memory for the weights: one layer on the meta device has the parameters of a published one."""
    full = config(4, rotary=False) | {"num_hidden_layers": 1, "vocab_size": 125_696} | values
    llama, positions = baichuan_config(full, "13B")
    assert positions == alibi
    with torch.device("meta"):
        model = BaichuanModel(llama, alibi=alibi)
    width = full["hidden_size"]
    layer = model.layers[0]
    assert sum(one.numel() for one in layer.parameters()) == parameters
    assert (
        parameters == 4 * width**2 + 3 * width * full["intermediate_size"] + 2 * width
    )  # attention, gated MLP, two norms
    shapes = {name: tuple(one.shape) for name, one in layer.self_attn.named_parameters()}
    assert set(shapes.values()) == {(width, width)}
    assert len(shapes) == 4


def test_layers_above_the_last_wanted_one_never_run(tmp_path: Path) -> None:
    checkpoint(tmp_path, 4, rotary=True)
    encoder = load_lexical(resolve_weights(str(tmp_path), tmp_path / "cache"))
    calls: list[int] = []
    for number, layer in enumerate(encoder.module.layers):
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    encoder.states("w1 w2", (0, 1))
    assert calls == [0]


def test_an_incomplete_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path, 4, rotary=True)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"(?s)missing.*shards"):
        load_baichuan(resolve_weights(str(tmp_path), tmp_path / "cache"))


def test_pickled_weights_are_refused_with_the_way_out(tmp_path: Path) -> None:
    checkpoint(tmp_path, 4, rotary=True)
    for path in tmp_path.glob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))
    with pytest.raises(WeightsError, match=r"convert to safetensors.*save_file"):
        resolve_weights(str(tmp_path), tmp_path / "cache")


def test_code_of_other_models_is_still_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path, 4, rotary=True)
    (tmp_path / "config.json").write_text(json.dumps(config(4, rotary=True) | {"model_type": "llama"}))
    with pytest.raises(WeightsError, match="auto_map"):
        resolve_weights(str(tmp_path), tmp_path / "cache")


def test_sentencepiece_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path, 4, rotary=True)
    (tmp_path / "tokenizer.json").unlink()
    resolved = ResolvedWeights("baichuan", tmp_path, "x")
    with pytest.raises(WeightsError, match="expected a tokenizer"):
        load_lexical(resolved)
    (tmp_path / "tokenizer.model").write_bytes(b"")
    monkeypatch.setattr("mer.encoders.tokens.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install sentencepiece"):
        load_lexical(resolved)


def test_sentencepiece_model(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    checkpoint(tmp_path, 4, rotary=True)
    (tmp_path / "tokenizer.json").unlink()
    text = tmp_path / "text.txt"
    text.write_text("a b c ab bc abc cab\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(tmp_path / "tokenizer"), vocab_size=12, model_type="bpe"
    )
    resolved = ResolvedWeights("baichuan", tmp_path, "x")
    for asked, start in ((True, [1]), (False, [])):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": asked}))
        encoder = load_lexical(resolved)
        tokens = encoder.tokens("abc ab")
        assert tokens.ids[: len(start)] == start
        assert tokens.words == [False] * len(start) + [True] * (len(tokens.ids) - len(start))
        assert encoder.states("abc ab", (1,))[0].shape == (len(tokens.ids) - len(start), WIDTH)
    (tmp_path / "tokenizer.model").write_bytes(b"broken")
    with pytest.raises(WeightsError, match="not a sentencepiece model"):
        load_lexical(resolved)
