"""How much of the texts an encoder's vocabulary covers: what it lacks becomes one token, and texts that differ look alike.

An encoder of English reads a Chinese transcript as a row of unknown tokens, and nothing else would say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mer.features.missing import has_words

if TYPE_CHECKING:
    from mer.encoders.tokens import Tokenizer

UNKNOWN_WORDS = "unknown_words"
"""Flag of a clip more than `MOST_UNKNOWN` of whose transcript the encoder cannot read."""

MOST_UNKNOWN = 0.2
"""Share of unknown tokens from which on a text says too little of what was said."""

_LONGEST_TOKENS = 2048


@dataclass(frozen=True)
class TextCoverage:
    """What an encoder can read of some texts."""

    texts: int
    """Texts with a word, one a clip."""
    unknown_share: float
    """Share of all their tokens that stand for something that the vocabulary lacks, 0 to 1."""
    indistinguishable: int
    """Texts that have the same tokens as a text of other words: to the encoder they are equal."""

    @property
    def too_little(self) -> bool:
        """Whether so much is unknown that a person should know before anything is trained."""
        return self.unknown_share > MOST_UNKNOWN

    def line(self, name: str, encoder: str) -> str:
        """The figures on one line; where too little is covered, with what to do."""
        figures = f"{name}: {self.texts} texts, {100 * self.unknown_share:.1f} % of their tokens unknown to {encoder}"
        if not self.too_little:
            return figures
        return (
            f"{figures}, {self.indistinguishable} texts cannot be told from others: use an encoder of their language "
            f"(--set {name}.features.source=...), or texts in one that it knows (--text-column)"
        )


def text_coverage(texts: Sequence[str], tokenizer: Tokenizer) -> TextCoverage:
    """Tokenise texts, one a clip, and count what the vocabulary lacks; texts without a word are passed over."""
    from mer.encoders.tokens import unknown_words

    tokens = unknown = 0
    words_of: dict[tuple[int, ...], list[str]] = {}
    read = [text.strip() for text in texts if has_words(text)]
    for text in read:
        tokenised = tokenizer(text, _LONGEST_TOKENS)
        tokens += sum(tokenised.words)
        unknown += unknown_words(tokenised, tokenizer.unknown_id)
        # case and blanks are no other words: many encoders read neither
        words_of.setdefault(tuple(tokenised.ids), []).append(" ".join(text.casefold().split()))
    alike = sum(len(words) for words in words_of.values() if len(set(words)) > 1)
    return TextCoverage(len(read), unknown / tokens if tokens else 0.0, alike)
