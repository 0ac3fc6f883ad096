"""Label words: rows of a causal model's language-model head that say how likely a word is to follow.

Reconstruction (system B, a label-word option): the classifier of a class starts from the row of its word, so that
before any training its logit is the one with which the language model would answer a prompt by that word. A word of
several tokens is represented by their mean. The classifier is trained from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from mer.encoders.families import BAICHUAN, CAUSAL_TYPES, model_type
from mer.encoders.prompts import plain_ids
from mer.encoders.tokens import Tokenizer
from mer.encoders.weight_files import read_json
from mer.encoders.weights import ResolvedWeights
from mer.errors import ConfigError, WeightsError

_HEADS = ("lm_head.weight", "model.embed_tokens.weight")
"""The head, or the embeddings of a model with a head that has no weights of its own (tied)."""

_NORMALISED_VOCABULARY = 125_696
"""Vocabulary of Baichuan2, whose head has rows of length 1 (its `NormHead`)."""


def label_word_rows(resolved: ResolvedWeights, tokenizer: Tokenizer, words: Sequence[str]) -> Tensor:
    """(classes, width) float32, one row for each word; only these rows are read from the weights.

    Raises:
        ConfigError: the model is not causal, or a word has no token.
        WeightsError: the weights have no such head.
    """
    kind = model_type(resolved)
    if kind not in CAUSAL_TYPES:
        raise ConfigError(f"label words: expected a causal language model, found {kind!r}")
    ids = [plain_ids(tokenizer, word) for word in words]
    if empty := [word for word, token_ids in zip(words, ids, strict=True) if not token_ids]:
        raise ConfigError(f"label words: expected words the tokenizer knows, found {empty}")
    assert resolved.folder is not None
    path, name = _head_file(resolved, resolved.folder)
    try:
        with safe_open(path, framework="pt") as shard:
            head = shard.get_slice(name)
            rows = torch.stack(
                [
                    torch.cat([head[token : token + 1].float() for token in token_ids]).mean(dim=0)
                    for token_ids in ids
                ]
            )
    except (SafetensorError, OSError, IndexError) as error:
        raise WeightsError(f"{path}: {name} cannot be read: {error}") from error
    config = read_json(resolved.folder / "config.json")
    if kind == BAICHUAN and config.get("vocab_size") == _NORMALISED_VOCABULARY:
        rows = functional.normalize(rows, dim=1)
    return rows


def _head_file(resolved: ResolvedWeights, folder: Path) -> tuple[Path, str]:
    path_of: dict[str, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as shard:
            path_of |= dict.fromkeys(set(_HEADS) & set(shard.keys()), path)
    for name in _HEADS:
        if name in path_of:
            return path_of[name], name
    raise WeightsError(
        f"{resolved.source}: expected a language-model head (lm_head.weight) for label words, found none"
    )
