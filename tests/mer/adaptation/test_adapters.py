from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import nn

from mer.adaptation.adapters import AdaptedLayers, BottleneckAdapter
from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.encoders.moonshine import LayeredMoonshine
from mer.encoders.wav2vec_family import LayeredWav2Vec
from mer.errors import ConfigError

Method = Literal["lora", "dora", "bottleneck"]
METHODS: tuple[Method, ...] = ("lora", "dora", "bottleneck")
BLOCK = Block(1, 3)


def config(method: Method) -> AdaptationConfig:
    return AdaptationConfig(method=method, rank=4)


def batch(encoder: Any) -> tuple[torch.Tensor, torch.Tensor]:
    hidden = torch.randn(3, 12, encoder.width, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(12)[None] < torch.tensor([12, 7, 1])[:, None]
    return hidden, mask


def hubert() -> LayeredWav2Vec:
    from transformers import HubertConfig, HubertModel

    options: dict[str, Any] = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
        "conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 4), "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "layerdrop": 0.5,
    }  # fmt: skip
    torch.manual_seed(0)
    return LayeredWav2Vec(HubertModel(HubertConfig(**options)).eval(), normalise=False)


def set_trainable(layers: AdaptedLayers) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in layers.trainable.values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("method", METHODS)
def test_untrained_adapters_change_nothing_and_trained_ones_do(
    encoder: LayeredMoonshine, method: Method
) -> None:
    hidden, mask = batch(encoder)
    frozen = encoder.run_layers(hidden, mask, 1, 3)[-1]
    layers = AdaptedLayers(encoder, BLOCK, config(method)).eval()
    torch.testing.assert_close(layers(hidden, mask)[mask], frozen[mask], atol=1e-5, rtol=1e-5)
    set_trainable(layers)
    with torch.no_grad():
        assert float((layers(hidden, mask)[mask] - frozen[mask]).abs().max()) > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_the_encoder_is_left_as_it_was(encoder: LayeredMoonshine, method: Method) -> None:
    before = {name: value.clone() for name, value in encoder.module.state_dict().items()}
    needs_gradient = {name: value.requires_grad for name, value in encoder.module.named_parameters()}
    structure = str(encoder.module)
    hidden, mask = batch(encoder)
    frozen = encoder.run_layers(hidden, mask, 0, 4)[-1]
    layers = AdaptedLayers(encoder, BLOCK, config(method)).train()
    set_trainable(layers)
    layers(hidden, mask).sum().backward()
    assert str(encoder.module) == structure
    assert {name: value.requires_grad for name, value in encoder.module.named_parameters()} == needs_gradient
    after = encoder.module.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in encoder.module.parameters())
    assert torch.equal(encoder.run_layers(hidden, mask, 0, 4)[-1], frozen)


@pytest.mark.parametrize("method", METHODS)
def test_only_the_block_is_adapted_and_every_layer_of_it(encoder: LayeredMoonshine, method: Method) -> None:
    layers = AdaptedLayers(encoder, BLOCK, config(method)).train()
    set_trainable(layers)
    hidden, mask = batch(encoder)
    layers(hidden, mask)[mask].square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in layers.trainable.values())
    count = {"lora": 12, "dora": 18, "bottleneck": 4}[method] * BLOCK.length
    assert len(layers.trainable) == count
    if method != "bottleneck":
        assert {name.split(".")[1] for name in layers.trainable} == {"1", "2"}


def test_layers_outside_the_block_are_never_run(encoder: LayeredMoonshine) -> None:
    for layer in (0, 3):
        for parameter in encoder.module.layers[layer].parameters():
            nn.init.constant_(parameter, float("nan"))
    nn.init.constant_(encoder.module.layer_norm.weight, float("nan"))
    hidden, mask = batch(encoder)
    for method in METHODS:
        assert torch.isfinite(AdaptedLayers(encoder, BLOCK, config(method))(hidden, mask)[mask]).all()


def test_weights_are_shared_not_copied(encoder: LayeredMoonshine) -> None:
    layers = AdaptedLayers(encoder, BLOCK, config("bottleneck"))
    hidden, mask = batch(encoder)
    before = layers(hidden, mask)
    with torch.no_grad():
        encoder.module.layers[2].mlp.fc1.weight.mul_(2.0)
    assert not torch.equal(layers(hidden, mask), before)


def test_training_mode_switches_no_layer_drop_on() -> None:
    encoder = hubert()
    hidden, mask = batch(encoder)
    for method in METHODS:
        layers = AdaptedLayers(encoder, BLOCK, config(method)).train()
        frozen = encoder.run_layers(hidden, mask, 1, 3)[-1]
        for _ in range(8):  # a dropped layer, or the encoder's own dropout, would show
            torch.testing.assert_close(layers(hidden, mask)[mask], frozen[mask], atol=1e-5, rtol=1e-5)


def test_bottleneck_is_the_formula() -> None:
    adapter = BottleneckAdapter(6, 3, scale=0.5, dropout=0.0)
    hidden = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(adapter(hidden), hidden)
    nn.init.normal_(adapter.up.weight)
    inner = torch.relu(hidden @ adapter.down.weight.T + adapter.down.bias)
    expected = hidden + 0.5 * (inner @ adapter.up.weight.T + adapter.up.bias)
    torch.testing.assert_close(adapter(hidden), expected)


def test_a_block_beyond_the_encoder_is_refused(encoder: LayeredMoonshine) -> None:
    with pytest.raises(ConfigError, match="4 layers"):
        AdaptedLayers(encoder, Block(3, 5), config("lora"))
