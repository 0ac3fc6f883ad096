"""The table of real sizes counts what a pass really computes, and the shapes are those published."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.full_size.models import MODELS, _layer_flops, costs
from mer.encoders.layer_tap import layers_of
from mer.encoders.placement import Placement

SMALL: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4,
    "attn_implementation": "eager",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["pictures", "text"])
def test_flops_of_a_layer_are_those_counted(kind: str) -> None:
    rows = 12
    if kind == "pictures":
        config = transformers.CLIPVisionConfig(**SMALL, image_size=32, patch_size=16)
        layer, more = layers_of(transformers.CLIPVisionModel(config))[0], {"attention_mask": None}
    else:
        model = transformers.LlamaModel(transformers.LlamaConfig(**SMALL, vocab_size=9))
        hidden = torch.zeros(1, rows, 32)
        positions = model.rotary_emb(hidden, torch.arange(rows)[None])
        layer, more = layers_of(model)[0], {"attention_mask": None, "position_embeddings": positions}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(torch.zeros(1, rows, 32), **more)
    assert _layer_flops(layer, rows, rows, 32) == counter.get_total_flops()


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("chinese-hubert-large", 315.4),
        ("chinese-wav2vec2-large", 315.4),
        ("clip-vit-l14", 303.2),
        ("dinov2-large", 304.4),
        ("qwen2.5-7b", 7071),
        ("baichuan2-7b", 6991),
        ("baichuan-13b", 12_937),
    ],
)
def test_the_shapes_are_those_published(name: str, millions: float) -> None:
    """HuBERT-large and CLIP ViT-L/14 as released; the language models without their heads (7.62 B and 13.26 B with them)."""
    found = costs(MODELS[name], rows=64, rank=16, classes=6)
    assert found.parameters / 1e6 == pytest.approx(millions, rel=1e-3)
    assert found.block_parameters < 0.3 * found.parameters
    assert found.trainable < 0.01 * found.parameters


def test_trainable_parameters_are_those_of_the_adapters() -> None:
    """The count by shapes, and what is put into a tower of one layer at full width."""
    from dataclasses import replace

    from mer.adaptation.adapters import AdaptedLayers
    from mer.adaptation.block import Block
    from mer.adaptation.token_config import PictureAdaptation

    model = replace(MODELS["clip-vit-l14"], layers=1, block=Block(0, 1))
    counted = costs(model, rows=257, rank=16, classes=6)
    layers = AdaptedLayers(model.build(1, Placement()), model.block, PictureAdaptation(rank=16))
    head = 6 * (2 * 1024 + 1)
    assert counted.trainable - head == sum(value.numel() for value in layers.trainable.values())
