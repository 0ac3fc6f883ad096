"""Layers entered at a cached hidden state give what the whole forward pass gives, for every family of text and pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from mer.encoders.baichuan import BaichuanModel
from mer.encoders.layer_tap import layers_of, run_tapped
from mer.encoders.picture_layers import PictureLayers, tokens_of
from mer.encoders.text_layers import TextLayers
from mer.errors import ConfigError

LAYERS = 4
COMMON: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": LAYERS,
    "num_attention_heads": 4, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def of(name: str, **more: Any) -> Callable[[], Any]:
    def made() -> Any:
        return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**COMMON | more))

    return made


def baichuan(*, alibi: bool) -> Callable[[], Any]:
    def made() -> Any:
        config = transformers.LlamaConfig(**COMMON, head_dim=8, attn_implementation="sdpa")
        config.model_type = "baichuan"
        return BaichuanModel(config, alibi=alibi)

    return made


def distilbert() -> Any:
    config = transformers.DistilBertConfig(
        vocab_size=40, dim=32, hidden_dim=48, n_layers=LAYERS, n_heads=4, pad_token_id=0
    )
    return transformers.DistilBertModel(config)


RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
TEXTS: dict[str, Callable[[], Any]] = {
    "bert": of("Bert"),
    "roberta": of("Roberta", max_position_embeddings=60),
    "xlm-roberta": of("XLMRoberta", max_position_embeddings=60),
    "distilbert": distilbert,
    "mpnet": of("MPNet"),
    "electra": of("Electra", embedding_size=16),
    "deberta": of("Deberta", **RELATIVE),
    "deberta-v2": of("DebertaV2", position_buckets=8, **RELATIVE),
    "llama": of("Llama", num_key_value_heads=2),
    "mistral": of("Mistral", num_key_value_heads=2, sliding_window=4),
    "qwen2": of("Qwen2", num_key_value_heads=2),
    "qwen2, sliding": of(
        "Qwen2", num_key_value_heads=2, use_sliding_window=True, sliding_window=4, max_window_layers=2
    ),
    "qwen3": of("Qwen3", num_key_value_heads=2, head_dim=8),
    "gemma": of("Gemma", num_key_value_heads=2, head_dim=8),
    "gemma2": of("Gemma2", num_key_value_heads=2, head_dim=8, sliding_window=4),
    "phi3": of("Phi3", num_key_value_heads=2),
    "olmo2": of("Olmo2", num_key_value_heads=2),
    "baichuan, rotary": baichuan(alibi=False),
    "baichuan, ALiBi": baichuan(alibi=True),
}
PICTURE: dict[str, Any] = {
    "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 2,
    "image_size": 32, "patch_size": 16,
}  # fmt: skip
PICTURES: dict[str, tuple[Callable[[], Any], int]] = {
    "clip": (lambda: transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**PICTURE)), 1),
    "siglip": (lambda: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**PICTURE)), 0),
    "vit": (lambda: transformers.ViTModel(transformers.ViTConfig(**PICTURE)), 1),
    "deit": (lambda: transformers.DeiTModel(transformers.DeiTConfig(**PICTURE)), 2),
    "dinov2": (lambda: transformers.Dinov2Model(transformers.Dinov2Config(**PICTURE)), 1),
}


def awake(model: nn.Module) -> Any:
    """Weights so large that every layer changes what passes through it."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.2 if parameter.ndim > 1 else 0.1
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    model.config.use_cache = False
    return model.eval()


@pytest.mark.parametrize("family", TEXTS)
def test_prefix_and_block_are_the_whole_pass(family: str) -> None:
    model = awake(TEXTS[family]())
    ids = torch.randint(3, 40, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(9)[None] < torch.tensor([9, 5, 1])[:, None]
    layers = TextLayers(model, 1, 0, 0)
    with torch.no_grad():
        states, out = run_tapped(
            lambda: model(input_ids=ids, attention_mask=mask.long()),
            layers_of(model),
            range(LAYERS),
            whole=True,
        )
        last = out if isinstance(out, torch.Tensor) else out.last_hidden_state
        for start in range(LAYERS):
            for stop in range(start + 1, LAYERS + 1):
                found = layers.run_layers(states[start], mask, start, stop)
                assert len(found) == stop - start
                wanted = last if stop == LAYERS else states[stop]
                torch.testing.assert_close(found[-1][mask], wanted[mask], atol=1e-5, rtol=1e-5)
                assert float((wanted[mask] - states[start][mask]).abs().max()) > 0.1
    names = layers.layer_module_names(1, 3)
    assert all(isinstance(model.get_submodule(name), nn.Linear) for name in names)
    assert len(names) == 2 * len(layers.layer_module_names(0, 1)) > 6


def test_layers_that_cannot_be_entered_are_refused() -> None:
    with pytest.raises(ConfigError, match="one by one"):
        TextLayers(of("Albert", embedding_size=16)(), 1, 0, 0)
    with pytest.raises(ConfigError, match="one by one"):
        TextLayers(of("DebertaV2", conv_kernel_size=3, conv_act="gelu")(), 1, 0, 0)
    with pytest.raises(ConfigError, match="vision encoder of type"):
        PictureLayers(transformers.BeitModel(transformers.BeitConfig(**PICTURE)), 1, 5)
    layers = TextLayers(of("Bert")(), 1, 0, 0)
    with pytest.raises(ConfigError, match="start < stop"):
        layers.run_layers(torch.zeros(1, 2, 32), torch.ones(1, 2, dtype=torch.bool), 3, 5)


@pytest.mark.parametrize("family", PICTURES)
def test_pictures_from_a_cached_state(family: str) -> None:
    build, leading = PICTURES[family]
    model = awake(build())
    pixels = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tokens = tokens_of(model, pixels[:1])
    assert tokens == 4 + leading
    layers = PictureLayers(model, leading, tokens)
    shown = torch.tensor([[True, True, True, True], [True, True, False, False]])
    mask = shown.repeat_interleave(tokens, dim=1)
    with torch.no_grad():
        states, out = run_tapped(
            lambda: model(pixel_values=pixels), layers_of(model), range(LAYERS + 1), whole=True
        )
        for start in range(LAYERS):
            given = torch.full((2, 4 * tokens, 24), torch.nan)  # what stands in the padding
            given[mask] = states[start].flatten(0, 1)
            for stop in range(start + 1, LAYERS + 1):
                found = layers.run_layers(given, mask, start, stop)[-1]
                assert found.shape == given.shape and not found[~mask].any()
                if stop < LAYERS:
                    torch.testing.assert_close(found[mask], states[stop].flatten(0, 1), atol=1e-5, rtol=1e-5)
    if family == "clip":
        first = found[layers.counted(mask)]
        torch.testing.assert_close(first, out.pooler_output, atol=1e-5, rtol=1e-5)
    else:
        torch.testing.assert_close(found[mask], out.last_hidden_state.flatten(0, 1), atol=1e-5, rtol=1e-5)
    assert len(layers.layer_module_names(0, 2)) == 12
    with pytest.raises(ConfigError, match="whole pictures"):
        layers.run_layers(given[:, 1:], mask[:, 1:], 0, 1)


def test_what_counts_of_a_picture_and_of_a_text() -> None:
    model = PICTURES["clip"][0]()
    mask = torch.tensor([[True] * 10, [True] * 5 + [False] * 5])
    first = PictureLayers(model, 1, 5).counted(mask)
    assert first.nonzero().tolist() == [[0, 0], [0, 5], [1, 0]]
    patches = PictureLayers(model, 1, 5, "patches").counted(mask)
    assert torch.equal(patches, mask & ~first)
    assert PictureLayers(PICTURES["siglip"][0](), 0, 5).counted(mask).equal(mask)
    with pytest.raises(ConfigError, match="`class` or `patches`"):
        PictureLayers(model, 1, 5, "sum")
    text = TextLayers(of("Bert")(), 2, 3, 1)
    assert text.counted(mask).nonzero().tolist() == [[0, 2], [0, 3], [0, 4], [0, 5], [0, 6]]
    last = TextLayers(of("Bert")(), 2, 3, 1, reads="last")
    assert last.counted(mask).nonzero().tolist() == [[0, 8], [1, 3]]
