"""Text encoders: hidden states of the words of a transcript, special tokens left out.

Known (zeroQiaoba/MERTools): the mean over tokens without the special ones, of the sum of the last four hidden
states; sentence encoders such as MiniLM are meant to be read from their last hidden state (`layers: output`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mer.encoders.loading import model_type, pretrained
from mer.encoders.weight_files import read_json
from mer.encoders.weights import ResolvedWeights
from mer.errors import ConfigError, WeightsError

TEXT_TYPES = (
    "bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "electra", "albert", "deberta", "deberta-v2",
)  # fmt: skip

VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
)
"""Files that hold a vocabulary; one of them must be there."""


class TextEncoder:
    """A frozen bidirectional text encoder.

    Args:
        model: transformers model with `output_hidden_states`.
        tokenizer: its fast tokenizer.
        max_tokens: longer texts are cut, special tokens included in the count.
    """

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.width = int(model.config.hidden_size)
        self.layer_count = int(model.config.num_hidden_layers)

    def states(self, text: str, wanted: Sequence[int]) -> list[Tensor]:
        """Hidden states `wanted` of the tokens, each (tokens, width) without special tokens; tokens may be
        0.
        """
        encoded = self._tokenizer(
            text,
            truncation=True,
            max_length=self.max_tokens,
            return_special_tokens_mask=True,
            return_tensors="pt",
        )
        words = encoded.pop("special_tokens_mask")[0] == 0
        with torch.inference_mode():
            hidden = self._model(**encoded, output_hidden_states=True).hidden_states
        return [hidden[index][0, words] for index in wanted]


def load_lexical(resolved: ResolvedWeights) -> TextEncoder:
    """Load a text encoder: float32, evaluation mode, on the CPU.

    Raises:
        ConfigError: not a supported text encoder.
        WeightsError: weights or tokenizer cannot be read.
    """
    from transformers import AutoModel, AutoTokenizer

    kind = model_type(resolved)
    if kind not in TEXT_TYPES:
        raise ConfigError(
            f"{resolved.source}: expected a text encoder of type {', '.join(TEXT_TYPES)}, found {kind!r}"
        )
    _check_vocabulary(resolved)
    model = pretrained(AutoModel, resolved, unused=("pooler.",))
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            resolved.folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise WeightsError(f"{resolved.source}: no usable tokenizer: {error}") from error
    if not tokenizer.is_fast:
        raise WeightsError(f"{resolved.source}: expected tokenizer.json (a fast tokenizer), found none")
    return TextEncoder(model, tokenizer, _max_tokens(resolved, model, tokenizer))


def _check_vocabulary(resolved: ResolvedWeights) -> None:
    # Without any vocabulary transformers builds an empty tokenizer, to which every word is unknown.
    assert resolved.folder is not None
    if not any((resolved.folder / name).is_file() for name in VOCABULARIES):
        raise WeightsError(f"{resolved.source}: expected a tokenizer ({', '.join(VOCABULARIES)}), found none")


def _max_tokens(resolved: ResolvedWeights, model: Any, tokenizer: Any) -> int:
    # RoBERTa-like models keep the first positions for padding: their own tokenizers state the usable length.
    assert resolved.folder is not None
    sentence = read_json(resolved.folder / "sentence_bert_config.json").get("max_seq_length")
    positions = int(getattr(model.config, "max_position_embeddings", 512))
    return int(min(sentence or positions, tokenizer.model_max_length, positions))
