"""Text encoders: hidden states of the words of a transcript, special tokens left out.

Known (zeroQiaoba/MERTools): the mean over tokens without the special ones, of the sum of the last four hidden
states; sentence encoders such as MiniLM are meant to be read from their last hidden state (`layers: output`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mer.encoders.families import CAUSAL_TYPES, TEXT, model_type
from mer.encoders.frame_tokens import Tokens
from mer.encoders.hidden_states import padding_mask
from mer.encoders.layer_tap import layers_of, run_tapped
from mer.encoders.loading import pretrained
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.prompts import PromptedTokenizer, word_bounds
from mer.encoders.text_layers import TextLayers
from mer.encoders.tokens import FastTokenizer, TokenIds, Tokenizer, check_vocabulary, fast_tokenizer
from mer.encoders.weight_files import read_json
from mer.encoders.weights import ResolvedWeights
from mer.errors import ConfigError

CAUSAL_TOKENS = 2048
"""Longest text a causal model is given, tokens: attention's memory grows with the square."""


class TextEncoder:
    """A frozen text encoder, bidirectional or causal.

    Args:
        model: transformers model (or `BaichuanModel`) without a head.
        tokenizer: its tokenizer.
        max_tokens: longer texts are cut, special tokens included in the count.
        placement: where the model is.
        prompt: template around every text, with `{text}` in it; its tokens are in no feature.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        max_tokens: int,
        placement: Placement = ON_CPU,
        prompt: str | None = None,
    ) -> None:
        self.module = model
        self.placement = placement
        self.bare_tokenizer = tokenizer
        self.tokenizer = tokenizer if prompt is None else PromptedTokenizer(tokenizer, prompt)
        self.max_tokens = max_tokens
        self.width = int(model.config.hidden_size)
        self.layer_count = int(model.config.num_hidden_layers)
        self._layers = layers_of(model)
        # causal models of transformers would keep keys and values for a next token that never comes
        model.config.use_cache = False

    def tokens(self, text: str) -> TokenIds:
        """The text as token ids, cut at `max_tokens`."""
        return self.tokenizer(text, self.max_tokens)

    def layers(self, reads: Tokens = "class", label_rows: Tensor | None = None) -> TextLayers:
        """The layers, to be entered and left anywhere; see `TextLayers` for the arguments.

        Raises:
            ConfigError: a family whose layers cannot be entered one by one.
        """
        prompted = self.tokenizer("a", self.max_tokens)
        first, last = word_bounds(prompted)
        return TextLayers(
            self.module,
            first,
            len(prompted.ids) - last,
            self.closing,
            reads=reads,
            label_rows=label_rows,
            placement=self.placement,
        )

    @property
    def closing(self) -> int:
        """Special tokens that the tokenizer puts at the end."""
        bare = self.bare_tokenizer("a", self.max_tokens)
        return len(bare.ids) - word_bounds(bare)[1]

    def states(self, text: str, indices: Sequence[int]) -> list[Tensor]:
        """Hidden states `indices` of the tokens, each (tokens, width) without special tokens; tokens may be
        0.
        """
        return self.states_of_batch([self.tokens(text)], indices)[0]

    def states_of_batch(
        self, texts: Sequence[TokenIds], indices: Sequence[int], tokens: Tokens = "class"
    ) -> list[list[Tensor]]:
        """Hidden states of several texts in one pass: for each text the states `indices`, (words, width).

        With tokens `all` special and prompt tokens are kept; with `last` only the last one before closing special tokens
        is: (1, width).

        The last state has been through the model's final norm, where it has one. Texts are padded on the
        right and masked; layers above the last one wanted are not run. A text may have no token at all.
        """
        lengths = [len(text.ids) for text in texts]
        if max(lengths) == 0:
            return [[torch.zeros(0, self.width) for _ in indices] for _ in texts]
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(text.ids, dtype=torch.long) for text in texts], batch_first=True
        )
        mask = padding_mask(lengths, torch.device("cpu"))
        mask = torch.ones_like(ids) if mask is None else mask.long()
        with torch.inference_mode():
            inputs = {"input_ids": self.placement.put(ids), "attention_mask": self.placement.put(mask)}
            raw = [index for index in indices if index != self.layer_count]
            whole = self.layer_count in indices
            states, out = run_tapped(lambda: self.module(**inputs), self._layers, raw, whole=whole)
            if whole:
                states[self.layer_count] = out if isinstance(out, Tensor) else out.last_hidden_state
            selections = [self._token_selection(text, tokens) for text in texts]
            words = [self.placement.put(torch.tensor(selected, dtype=torch.bool)) for selected in selections]
            return [
                [states[index][row, : len(text.ids)][words[row]] for index in indices]
                for row, text in enumerate(texts)
            ]

    def _token_selection(self, text: TokenIds, tokens: Tokens) -> list[bool]:
        if tokens == "all":
            return [True] * len(text.ids)
        if tokens == "last":
            return [position == len(text.ids) - 1 - self.closing for position in range(len(text.ids))]
        return text.words


def load_lexical(
    resolved: ResolvedWeights, placement: Placement = ON_CPU, prompt: str | None = None
) -> TextEncoder:
    """Load a text encoder in evaluation mode; with `prompt`, a template around every text.

    Raises:
        ConfigError: not a supported text encoder.
        WeightsError: weights or tokenizer cannot be read.
    """
    kind = model_type(resolved)
    assert resolved.folder is not None
    if kind not in TEXT:
        raise ConfigError(
            f"{resolved.source}: expected a text encoder of type {', '.join(TEXT)}, found {kind!r}"
        )
    check_vocabulary(resolved.folder)
    encoder: TextEncoder = TEXT.load(kind)(resolved, placement, prompt)
    return encoder


def load_pretrained(resolved: ResolvedWeights, placement: Placement, prompt: str | None) -> TextEncoder:
    """A model that transformers has a class for. Raises WeightsError where weights or tokenizer cannot be read."""
    from transformers import AutoModel

    model = pretrained(AutoModel, resolved, placement, unused=("pooler.",))
    fast = fast_tokenizer(resolved)
    limit = _max_tokens(resolved, model, fast)
    limit = min(limit, CAUSAL_TOKENS) if model_type(resolved) in CAUSAL_TYPES else limit
    return TextEncoder(model, FastTokenizer(fast), limit, placement, prompt)


def _max_tokens(resolved: ResolvedWeights, model: Any, tokenizer: Any) -> int:
    # RoBERTa-like models keep the first positions for padding: their own tokenizers state the usable length.
    assert resolved.folder is not None
    sentence = read_json(resolved.folder / "sentence_bert_config.json").get("max_seq_length")
    positions = int(getattr(model.config, "max_position_embeddings", 512))
    return int(min(sentence or positions, tokenizer.model_max_length, positions))
