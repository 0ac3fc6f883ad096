"""How much of the texts an encoder's vocabulary covers: what it lacks becomes one token, and texts that differ look alike.

An encoder of English reads a Chinese transcript as a row of unknown tokens, and German, Russian or Japanese as a row of letters
and syllables: every token is known, and hardly a word is. Nothing else would say so.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
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

MOST_SPLIT = 0.3
"""Share of words that are no word of the vocabulary from which on texts are of another language than an encoder of English is
made for. By MiniLM's vocabulary: English 0 %, with many names and slang 13 %, German of the plainest words 41 %, French 47 %,
Dutch 52 %, Spanish 53 %, German 59 %, Polish 74 %, Russian 90 %, Chinese and Japanese 100 %.
"""

_LONGEST_TOKENS = 2048
_MOST_WORDS = 20_000


@dataclass(frozen=True)
class TextCoverage:
    """What an encoder can read of some texts."""

    texts: int
    """Texts with a word, one a clip."""
    unknown_share: float
    """Share of all their tokens that stand for something that the vocabulary lacks, 0 to 1."""
    indistinguishable: int
    """Texts that have the same tokens as a text of other words: to the encoder they are equal."""
    split_share: float = 0.0
    """Share of their words (runs of letters) that are not one token of the vocabulary, 0 to 1. It tells other languages from the
    encoder's own for vocabularies of words and pieces of them; vocabularies of about every language split many words of each.
    """

    @property
    def too_little(self) -> bool:
        """Whether so much is unknown that a person should know before anything is trained."""
        return self.unknown_share > MOST_UNKNOWN

    @property
    def foreign(self) -> bool:
        """Whether the texts are of another language than the one whose words the vocabulary has."""
        return self.too_little or self.split_share > MOST_SPLIT

    def foreign_line(self, name: str, encoder: str) -> str:
        """What says that the texts are of another language than the encoder's."""
        return (
            f"{name}: {self.texts} texts, {100 * self.unknown_share:.1f} % of their tokens unknown to {encoder} and "
            f"{100 * self.split_share:.0f} % of their words not among its own"
        )

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
    words: Counter[str] = Counter()
    words_of: dict[tuple[int, ...], list[str]] = {}
    read = [text.strip() for text in texts if has_words(text)]
    for text in read:
        tokenised = tokenizer(text, _LONGEST_TOKENS)
        tokens += sum(tokenised.words)
        unknown += unknown_words(tokenised, tokenizer.unknown_id)
        # case and blanks are no other words: many encoders read neither
        words_of.setdefault(tuple(tokenised.ids), []).append(" ".join(text.casefold().split()))
        words.update(_runs_of_letters(text.casefold()))
    alike = sum(len(words) for words in words_of.values() if len(set(words)) > 1)
    # the rarest words of a large corpus decide nothing
    counted = dict(words.most_common(_MOST_WORDS))
    split = sum(count for word, count in counted.items() if not _is_one_token(word, tokenizer))
    split_share = split / sum(counted.values()) if counted else 0.0
    return TextCoverage(len(read), unknown / tokens if tokens else 0.0, alike, split_share)


def _runs_of_letters(text: str) -> list[str]:
    """Words of a text: letters and the marks that belong to them. Of a script without spaces, whole phrases."""
    letters = (character if unicodedata.category(character)[0] in "LM" else " " for character in text)
    return "".join(letters).split()


def _is_one_token(word: str, tokenizer: Tokenizer) -> bool:
    tokens = tokenizer(word, _LONGEST_TOKENS)
    own = [token for token, is_word in zip(tokens.ids, tokens.words, strict=True) if is_word]
    return len(own) == 1 and own[0] != tokenizer.unknown_id
