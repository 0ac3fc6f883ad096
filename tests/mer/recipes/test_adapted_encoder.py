"""Recipes that adapt encoders of pictures and text: what is written, and what makes no sense."""

from __future__ import annotations

import pytest

from mer.adaptation.block import Block
from mer.errors import ConfigError
from mer.recipes.loading import parse_recipe

LEXICAL = "name: x\nlexical:\n  features: {modality: lexical, source: 'wheel:all-minilm-l6-v2'}\n"
VISUAL = "name: x\nvisual:\n  features: {modality: visual, source: '%s'}\n"


def test_the_defaults_suit_tokens() -> None:
    recipe = parse_recipe(
        LEXICAL
        + "  adaptation: {}\n  block: [4, 6]\n"
        + VISUAL[8:] % "seed:clip-tiny"
        + "  adaptation: {}\n",
        origin="mine.yaml",
    )
    assert recipe.adapts == ("visual", "lexical")
    text, face = recipe.streams["lexical"], recipe.streams["visual"]
    assert text.adaptation is not None and text.named_block == Block(4, 6)
    assert text.adaptation.mask_probability == 0 and text.adaptation.max_frames == 100_000
    assert face.adaptation is not None and face.named_block is None, "chosen by the layer study"
    assert face.adaptation.mask_span_frames == 1
    assert parse_recipe(LEXICAL, origin="mine.yaml").adapts == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LEXICAL + "  block: [4, 6]\n", "expected `adaptation` as well"),
        (LEXICAL + "  adaptation: {}\n  block: [6, 6]\n", "first < second"),
        (LEXICAL + "  label_words: [a, b, c, d, e, f]\n", "expected `adaptation` as well"),
        (LEXICAL + "  adaptation: {}\n  label_words: [a, b]\n", "one an emotion, found 2"),
        (LEXICAL + "  adaptation: {max_frames: 100}\n", "max_frames"),
        (VISUAL % "seed:clip-tiny" + "  adaptation: {method: prompt}\n", "pictures do not see each other"),
        (VISUAL % "crops:" + "  adaptation: {}\n", "which has no layers"),
        (VISUAL % "files:units" + "  adaptation: {}\n", "which has no layers"),
        (
            VISUAL.replace("'}", "', tokens: sum}") % "seed:clip-tiny" + "  adaptation: {}\n",
            "class or patches",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_recipe(text, origin="mine.yaml")
