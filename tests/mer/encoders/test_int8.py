"""Linear layers in 8 bits: close to the layer they replace, on a processor only, in every family of encoders."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel

from mer.encoders.int8 import Int8Linear, quantise_linear_layers
from mer.errors import ConfigError

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "conv_dim": (16, 16),
    "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.0, "apply_spec_augment": False,
}  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_in_8_bits_is_close(bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(96, 40, bias=bias)
    values = torch.randn(3, 7, 96)
    found, expected = Int8Linear(linear)(values), linear(values)
    assert found.shape == expected.shape and found.dtype == torch.float32
    assert (found - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize(("model", "config"), [(HubertModel, HubertConfig), (WavLMModel, WavLMConfig)])
def test_a_whole_encoder_still_says_the_same(model: type, config: type) -> None:
    torch.manual_seed(0)
    encoder = model(config(**SMALL)).eval()
    sound = torch.randn(1, 4_000)
    with torch.inference_mode():
        expected = encoder(sound).last_hidden_state
        quantise_linear_layers(encoder, "cpu")
        found = encoder(sound).last_hidden_state
    assert any(isinstance(module, Int8Linear) for module in encoder.modules())
    assert torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.999


def test_a_gpu_has_better_ways() -> None:
    with pytest.raises(ConfigError, match="bf16"):
        quantise_linear_layers(nn.Linear(2, 2), "cuda")
