from __future__ import annotations

import copy
from typing import Any, Literal

import pytest
import torch
from torch import nn

from mer.adaptation.adapters import AdaptedLayers, BottleneckAdapter, PromptFrames
from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.merging import merged_encoder
from mer.encoders.moonshine import LayeredMoonshine
from mer.encoders.wav2vec_family import LayeredWav2Vec
from mer.errors import ConfigError

Method = Literal["lora", "dora", "ia3", "bottleneck", "prompt"]
METHODS: tuple[Method, ...] = ("lora", "dora", "ia3", "bottleneck", "prompt")
IDENTITIES: tuple[Method, ...] = ("lora", "dora", "ia3", "bottleneck")
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


def set_trainable(layers: AdaptedLayers, size: float = 0.3) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in layers.trainable.values():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("method", METHODS)
def test_untrained_adapters_change_nothing_and_trained_ones_do(
    encoder: LayeredMoonshine, method: Method
) -> None:
    hidden, mask = batch(encoder)
    frozen = encoder.run_layers(hidden, mask, 1, 3)[-1]
    layers = AdaptedLayers(encoder, BLOCK, config(method)).eval()
    before = layers.frozen(hidden, mask) if method == "prompt" else layers(hidden, mask)
    torch.testing.assert_close(before[mask], frozen[mask], atol=1e-5, rtol=1e-5)
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
    count = {"lora": 12, "dora": 18, "ia3": 3, "bottleneck": 4, "prompt": 1}[method] * BLOCK.length
    assert len(layers.trainable) == count
    if method in ("lora", "dora", "ia3"):
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
        frozen = encoder.run_layers(hidden, mask, 1, 3)[-1] if method != "prompt" else layers(hidden, mask)
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


def test_ia3_scales_keys_values_and_the_inner_features(encoder: LayeredMoonshine) -> None:
    layers = AdaptedLayers(encoder, Block(1, 2), config("ia3")).eval()
    set_trainable(layers)
    hidden, mask = batch(encoder)
    own = copy.deepcopy(encoder)
    scales = {name.split(".")[3]: value.detach() for name, value in layers.trainable.items()}
    assert scales.keys() == {"k_proj", "v_proj", "fc2"}
    layer = own.module.layers[1]
    with torch.no_grad():
        for name in ("k_proj", "v_proj"):
            getattr(layer.self_attn, name).weight.mul_(
                scales[name]
            )  # (features, 1): one scale for each output
        layer.mlp.fc2.weight.mul_(scales["fc2"])  # (1, inner features)
        expected = own.run_layers(hidden, mask, 1, 2)[-1]
        torch.testing.assert_close(layers(hidden, mask)[mask], expected[mask], atol=1e-5, rtol=1e-4)


def test_prompt_frames_are_read_by_a_layer_and_dropped(encoder: LayeredMoonshine) -> None:
    layers = AdaptedLayers(encoder, Block(1, 2), config("prompt").model_copy(update={"prompt_frames": 3}))
    set_trainable(layers)
    (prompt,) = layers.adapters
    assert isinstance(prompt, PromptFrames) and prompt.frames.shape == (3, encoder.width)
    hidden, mask = batch(encoder)
    with torch.no_grad():
        result = layers(hidden, mask)
        for row, length in enumerate((12, 7, 1)):  # the naive way: every clip alone, without padding
            longer = torch.cat([prompt.frames, hidden[row, :length]])[None]
            alone = encoder.run_layers(longer, torch.ones(1, length + 3, dtype=torch.bool), 1, 2)[-1][0, 3:]
            torch.testing.assert_close(result[row, :length], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_checkpointed_gradients_are_the_same(encoder: LayeredMoonshine, method: Method) -> None:
    hidden, mask = batch(encoder)
    found = []
    for checkpointing in (False, True):
        options = {"gradient_checkpointing": checkpointing, "dropout": 0.2}
        torch.manual_seed(0)
        layers = AdaptedLayers(encoder, BLOCK, config(method).model_copy(update=options)).train()
        set_trainable(layers)
        torch.manual_seed(1)
        loss = layers(hidden, mask)[mask].square().mean()
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in layers.trainable.values())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_checkpointing_keeps_less(encoder: LayeredMoonshine) -> None:
    hidden, mask = batch(encoder)
    kept = []
    for checkpointing in (False, True):
        layers = AdaptedLayers(
            encoder, BLOCK, config("lora").model_copy(update={"gradient_checkpointing": checkpointing})
        ).train()
        saved: list[int] = []

        def pack(value: torch.Tensor, saved: list[int] = saved) -> torch.Tensor:
            saved.append(value.numel())
            return value

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            layers(hidden.clone().requires_grad_(), mask)
        kept.append(sum(saved))
    assert kept[1] < 0.2 * kept[0]


@pytest.mark.parametrize("method", METHODS)
def test_bf16_is_close_and_leaves_in_float32(encoder: LayeredMoonshine, method: Method) -> None:
    hidden, mask = batch(encoder)
    results = []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        layers = AdaptedLayers(encoder, BLOCK, config(method).model_copy(update={"precision": precision}))
        set_trainable(layers)
        results.append(layers(hidden, mask)[mask])
        results[-1].square().mean().backward()
        assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layers.trainable.values())
    assert results[1].dtype == torch.float32
    error = float((results[1] - results[0]).detach().norm() / results[0].detach().norm())
    assert 1e-4 < error < 0.1  # it was bf16, and only that (8 bits a value, large random weights)


MERGED = 1e-5
"""Of the largest value: what rounding may do. Two layers, each products of up to 64 terms and a softmax, in fp32 (2^-24 a
term), with adapters as large as the weights: at most 7e-7 was seen, on AVX2 and on AVX-512.

With adapters three times as large (and drawn anew each time, as this test once had them) values grow to 500, the softmax is
near a tie somewhere, and rounding shows at up to 9e-5 of the largest value: that was ill-conditioned, not merged wrongly."""


def merged_and_separate(
    encoder: LayeredMoonshine, layers: AdaptedLayers
) -> tuple[LayeredMoonshine, torch.Tensor, torch.Tensor, torch.Tensor]:
    hidden, mask = batch(encoder)
    with torch.no_grad():
        separate = layers(hidden, mask)
        merged = merged_encoder(layers)
        result = merged.run_layers(hidden, mask, BLOCK.start, BLOCK.stop)[-1]
        assert torch.equal(layers(hidden, mask), separate)
        frozen = encoder.run_layers(hidden, mask, BLOCK.start, BLOCK.stop)[-1]
    assert float(separate[mask].abs().max()) < 40
    return merged, result[mask], separate[mask], frozen[mask]


def largest(values: torch.Tensor, than: torch.Tensor) -> float:
    return float(values.abs().max() / than.abs().max())


@pytest.mark.parametrize("method", ["lora", "dora", "ia3"])
def test_merged_weights_do_what_the_adapters_did(encoder: LayeredMoonshine, method: Method) -> None:
    before = {name: value.clone() for name, value in encoder.module.state_dict().items()}
    torch.manual_seed(0)  # peft draws half of what an adapter is
    layers = AdaptedLayers(encoder, BLOCK, config(method)).eval()
    set_trainable(layers, 0.1)
    merged, result, separate, frozen = merged_and_separate(encoder, layers)
    assert {name: value.shape for name, value in merged.module.state_dict().items()} == {
        name: value.shape for name, value in before.items()
    }
    assert largest(result - separate, separate) < MERGED
    assert largest(frozen - separate, separate) > 1e3 * MERGED
    after = encoder.module.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    outside, merged_outside = encoder.module.layers[0].mlp.fc1.weight, merged.module.layers[0].mlp.fc1.weight
    assert outside.data_ptr() == merged_outside.data_ptr()  # shared where nothing was merged


@pytest.mark.parametrize("method", ["lora", "dora", "ia3"])
def test_a_matrix_merged_slightly_wrong_would_show(encoder: LayeredMoonshine, method: Method) -> None:
    torch.manual_seed(0)
    layers = AdaptedLayers(encoder, BLOCK, config(method)).eval()
    set_trainable(layers, 0.1)
    hidden, mask = batch(encoder)
    for layer, name in ((1, "self_attn.v_proj"), (2, "mlp.fc2")):
        merged, result, separate, _ = merged_and_separate(encoder, layers)
        weight, own = (one.module.layers[layer].get_submodule(name).weight for one in (merged, encoder))
        with torch.no_grad():
            weight += 0.001 * (
                weight - own
            )  # the adapter counts a thousandth too much, in one matrix of twelve
            wrong = merged.run_layers(hidden, mask, BLOCK.start, BLOCK.stop)[-1][mask]
        assert largest(result - separate, separate) < MERGED < largest(wrong - separate, separate)


def test_what_cannot_be_merged_or_scaled_is_refused(encoder: LayeredMoonshine) -> None:
    for method in ("bottleneck", "prompt"):
        with pytest.raises(ConfigError, match="expected lora, dora or ia3"):
            merged_encoder(AdaptedLayers(encoder, BLOCK, config(method)))
    encoder.linear_names = ("self_attn.q_proj", "mlp.fc2")
    with pytest.raises(ConfigError, match="separate maps to keys and values"):
        AdaptedLayers(encoder, BLOCK, config("ia3"))
