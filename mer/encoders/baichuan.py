"""Baichuan 7B/13B and Baichuan2 as frozen text encoders, natively: no code that comes with the weights is run.

Blocks are Llama's. `W_pack` holds q, k and v; the 7B models have rotary positions, the 13B ones ALiBi (Press et
al. 2022, arXiv 2108.12409): a bias on attention that falls linearly with distance, by a slope per head. The
language-model head (normalised in Baichuan2) is not loaded: features are hidden states.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding

from mer.encoders.int8 import quantise_linear_layers
from mer.encoders.lexical import CAUSAL_TOKENS, TextEncoder
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.tokens import native_tokenizer
from mer.encoders.weight_files import read_json
from mer.encoders.weights import ResolvedWeights
from mer.errors import WeightsError

_NEEDED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_ALIBI_OF_WIDTH = {4096: False, 5120: True}
"""Positions of the published checkpoints, 7B and 13B."""

_UNUSED = ("lm_head.", "rotary_emb.inv_freq")


class BaichuanModel(nn.Module):
    """The decoder without its head: token ids -> last hidden state, normed.

    Args:
        config: Llama's, with equal numbers of query and key heads.
        alibi: ALiBi (13B) instead of rotary positions (7B).
    """

    def __init__(self, config: Any, *, alibi: bool) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            LlamaDecoderLayer(config, layer) for layer in range(config.num_hidden_layers)
        )
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.alibi = alibi
        # the tables of positions are no weights: on the CPU even while the weights are not there yet
        with torch.device("cpu"):
            self._rotary = None if alibi else LlamaRotaryEmbedding(config=config)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Run all layers.

        Args:
            input_ids: (batch, tokens).
            attention_mask: (batch, tokens), 1 at real tokens; padding may be on either side.

        Returns:
            (batch, tokens, width); values at padded tokens mean nothing.
        """
        hidden: Tensor = self.embed_tokens(input_ids)
        bias = causal_bias(attention_mask.bool(), hidden.dtype)  # (batch, 1, tokens, tokens)
        if self.alibi:
            # the lowest value absorbs what ALiBi adds to it: masked stays masked, and finite
            bias = bias + alibi_bias(self.config.num_attention_heads, input_ids.shape[1], hidden)
        positions = self._positions(hidden)
        for layer in self.layers:
            hidden = layer(hidden, attention_mask=bias, position_embeddings=positions)
        normed: Tensor = self.norm(hidden)
        return normed

    def _positions(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (1, tokens, head width) of the rotation; the identity under ALiBi."""
        tokens = torch.arange(hidden.shape[1], device=hidden.device)[None]
        if self._rotary is not None:
            cosines, sines = self._rotary(hidden, tokens)
            return cosines, sines
        ones = hidden.new_ones(1, hidden.shape[1], self.config.head_dim)
        return ones, torch.zeros_like(ones)


def causal_bias(real: Tensor, dtype: torch.dtype) -> Tensor:
    """(batch, tokens) -> additive mask (batch, 1, tokens, tokens): real tokens, up to the one that asks.

    The lowest finite value instead of minus infinity: a padded row gives no NaN.
    """
    tokens = real.shape[1]
    past = torch.ones(tokens, tokens, dtype=torch.bool, device=real.device).tril()
    allowed = past[None, None] & real[:, None, None]
    return torch.zeros(allowed.shape, dtype=dtype, device=real.device).masked_fill(
        ~allowed, torch.finfo(dtype).min
    )


def alibi_slopes(heads: int) -> list[float]:
    """Slope of each head: 2^(-8/n), 2^(-16/n), ... for n heads, a power of two.

    For other numbers, as in the paper's code: the slopes of the power of two below, then every second one of
    twice that power.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    if power < heads:
        slopes += alibi_slopes(2 * power)[0::2][: heads - power]
    return slopes


def alibi_bias(heads: int, tokens: int, like: Tensor) -> Tensor:
    """(1, heads, tokens, tokens) slope times (key position - query position), at most 0; 0 for the future."""
    positions = torch.arange(tokens, device=like.device)
    distance = (positions[None] - positions[:, None]).clamp(max=0)
    slopes = torch.tensor(alibi_slopes(heads), device=like.device)
    return (slopes[:, None, None] * distance)[None].to(like.dtype)


def baichuan_config(values: dict[str, Any], source: str) -> tuple[Any, bool]:
    """Llama's configuration and whether positions are ALiBi.

    The published widths decide; at another width a checkpoint that states `max_position_embeddings` is rotary,
    as in the published configurations (ALiBi has no use for it).

    Raises:
        WeightsError: a number is missing, or the width does not fit the heads.
    """
    if missing := [name for name in _NEEDED if not isinstance(values.get(name), int)]:
        raise WeightsError(f"{source}: config.json of Baichuan: expected {', '.join(missing)}, found none")
    width, heads = values["hidden_size"], values["num_attention_heads"]
    if heads < 1 or width % heads:
        raise WeightsError(
            f"{source}: expected hidden_size to be a multiple of num_attention_heads, found {width}, {heads}"
        )
    config = LlamaConfig(
        **{name: values[name] for name in _NEEDED},
        head_dim=width // heads,
        rms_norm_eps=values.get("rms_norm_eps", 1e-6),
        hidden_act=values.get("hidden_act", "silu"),
        max_position_embeddings=values.get("max_position_embeddings", values.get("model_max_length", 4096)),
        pad_token_id=None,
        attn_implementation="sdpa",
    )
    return config, _ALIBI_OF_WIDTH.get(width, "max_position_embeddings" not in values)


def load_baichuan(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> BaichuanModel:
    """Load a checkpoint, one tensor at a time: memory holds the weights once, in the wanted precision.

    Raises:
        WeightsError: a weight is missing, of another shape, or cannot be read.
    """
    assert resolved.folder is not None
    config, alibi = baichuan_config(read_json(resolved.folder / "config.json"), resolved.source)
    with torch.device("meta"):
        model = BaichuanModel(config, alibi=alibi)
    expected = {name: value.shape for name, value in model.state_dict().items()}
    tensors: dict[str, Tensor] = {}
    for path in sorted(resolved.folder.glob("*.safetensors")):
        tensors.update(_llama_weights(path, placement))
    wrong = sorted(
        name for name, shape in expected.items() if name not in tensors or tensors[name].shape != shape
    )
    if wrong:
        raise WeightsError(
            f"{resolved.source}: {len(wrong)} weights of Baichuan are missing or of another shape "
            f"({', '.join(wrong[:3])}); are all shards there?"
        )
    model.load_state_dict({name: tensors[name] for name in expected}, assign=True)
    model = model.eval().requires_grad_(False).to(placement.device)
    if placement.precision == "int8":
        quantise_linear_layers(model, placement.device)
    return model


def load_baichuan_text(resolved: ResolvedWeights, placement: Placement, prompt: str | None) -> TextEncoder:
    """A checkpoint with its tokenizer, as a text encoder. Raises WeightsError where either cannot be read."""
    assert resolved.folder is not None
    tokenizer = native_tokenizer(resolved.folder)
    model = load_baichuan(resolved, placement)
    limit = min(int(model.config.max_position_embeddings), CAUSAL_TOKENS)
    return TextEncoder(model, tokenizer, limit, placement, prompt)


def _llama_weights(path: Path, placement: Placement) -> dict[str, Tensor]:
    """Weights of one shard under Llama's names, `W_pack` in its three parts."""
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as shard:
            for name in shard.keys():  # noqa: SIM118  (safe_open is no mapping)
                if any(unused in name for unused in _UNUSED):
                    continue
                value = shard.get_tensor(name).to(placement.dtype)
                name = name.removeprefix("model.")
                if "W_pack" not in name:
                    tensors[name] = value
                    continue
                for projection, packed in zip(("q_proj", "k_proj", "v_proj"), value.chunk(3), strict=True):
                    # a copy, so that the packed tensor is let go
                    tensors[name.replace("W_pack", projection)] = packed.clone()
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a sound safetensors file: {error}") from error
    return tensors
