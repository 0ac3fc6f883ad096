"""Which encoder reads a recipe's texts: settled where the recipe meets a corpus, by how much of its texts the named one knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mer.errors import WeightsError
from mer.features.text_coverage import TextCoverage
from mer.recipes.recipe import Recipe


@dataclass(frozen=True)
class TextEncoder:
    """The encoder of a stream's texts, and why it is this one."""

    stream: str
    source: str
    """Of the encoder that reads them."""
    coverage: TextCoverage
    """By the encoder that the recipe names."""
    named: str
    """Source that the recipe names."""
    absent: str = ""
    """Why the one for other languages does not read texts of another language; empty: it does, or they are not."""

    @property
    def warns(self) -> bool:
        """Whether the texts are read by an encoder that knows too little of them."""
        return bool(self.absent) or (self.source == self.named and self.coverage.too_little)

    @property
    def line(self) -> str:
        """What a person should know, in one line."""
        if self.source != self.named:
            return (
                f"{self.coverage.foreign_line(self.stream, self.named)}: another language, so {self.source} reads them "
                f"(another encoder: --set {self.stream}.multilingual=SOURCE; to keep the first: "
                f"--set {self.stream}.multilingual=null)"
            )
        if self.absent:
            return (
                f"{self.coverage.foreign_line(self.stream, self.named)}: another language, which it reads all the same, because "
                f"the encoder for other languages is not here: {self.absent}"
            )
        return self.coverage.line(self.stream, self.named)


def text_encoder(
    recipe: Recipe, stream: str, coverage: TextCoverage, require: Callable[[str], object]
) -> TextEncoder:
    """Choose the encoder of a stream's texts.

    Where the encoder for other languages is absent, the named one reads the texts: the streams of sound and pictures are worth
    the run, and the line says what to install.

    Args:
        recipe: names one encoder, and perhaps one for other languages.
        stream: its stream of texts.
        coverage: of the corpus' texts by the named encoder.
        require: called with the source of the one for other languages; raises WeightsError where it is absent.
    """
    options = recipe.stream(stream)
    named = TextEncoder(stream, options.features.source, coverage, options.features.source)
    other = options.other_encoder
    if other is None or not coverage.foreign:
        return named
    try:
        require(other)
    except WeightsError as error:
        return replace(named, absent=str(error))
    return replace(named, source=other)


def with_text_encoders(recipe: Recipe, encoders: Mapping[str, TextEncoder]) -> Recipe:
    """The recipe whose streams of texts name the encoders that were chosen."""
    for name, chosen in encoders.items():
        features = recipe.stream(name).features
        if chosen.source != features.source:
            recipe = recipe.with_stream(name, features=features.model_copy(update={"source": chosen.source}))
    return recipe
