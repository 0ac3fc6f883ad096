"""A prompt around a transcript (system B: a language model is asked what the speaker feels).

Known: an LLM is fine-tuned on labelled transcripts. Reconstruction: the template, and that features are made of the
transcript's own tokens, the prompt's being left out as special tokens are.
"""

from __future__ import annotations

from collections.abc import Sequence

from mer.encoders.tokens import TokenIds, Tokenizer
from mer.errors import ConfigError

TEXT = "{text}"
"""Stands for the transcript in a template."""


class PromptedTokenizer:
    """A tokenizer that puts every text into a template.

    What precedes, the text and what follows are tokenised by themselves, so that equally many tokens surround every
    text; with tokenizers that keep blanks, put the text in quotation marks rather than after a blank. A text that is
    too long is cut, its surroundings never are.

    Args:
        tokenizer: of the model; its special tokens stay at both ends.
        template: with `{text}` once.

    Raises:
        ConfigError: a template of another form.
    """

    def __init__(self, tokenizer: Tokenizer, template: str) -> None:
        self._tokenizer = tokenizer
        self.unknown_id = tokenizer.unknown_id
        before, after = parts_of(template)
        self._before, self._after = (plain_ids(tokenizer, piece) for piece in (before, after))

    def __call__(self, text: str, max_tokens: int) -> TokenIds:
        """See `Tokenizer`."""
        room = max_tokens - len(self._before) - len(self._after)
        if room < 1:
            raise ConfigError(f"prompt: expected room for a text within {max_tokens} tokens, found none")
        bare = self._tokenizer(text, room)
        if not any(bare.words):
            return bare
        first, last = word_bounds(bare)
        ids = [*bare.ids[:first], *self._before, *bare.ids[first:last], *self._after, *bare.ids[last:]]
        outside = [False] * len(self._before), [False] * len(self._after)
        words = [*bare.words[:first], *outside[0], *bare.words[first:last], *outside[1], *bare.words[last:]]
        return TokenIds(ids, words, bare.cut)


def parts_of(template: str) -> tuple[str, str]:
    """What precedes and what follows the text.

    Raises:
        ConfigError: `{text}` is not there, or twice.
    """
    if template.count(TEXT) != 1:
        raise ConfigError(f"prompt: expected {TEXT} once in the template, found {template!r}")
    before, _, after = template.partition(TEXT)
    return before, after


def plain_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Tokens of a piece of text without special tokens."""
    tokens = tokenizer(text, len(text.encode()) + 16) if text else TokenIds([], [])
    return [token for token, word in zip(tokens.ids, tokens.words, strict=True) if word]


def word_bounds(tokens: TokenIds) -> tuple[int, int]:
    """Positions of the first word and behind the last one; there is at least one."""
    positions: Sequence[int] = [position for position, word in enumerate(tokens.words) if word]
    return positions[0], positions[-1] + 1
