"""Every family of text encoders gives the hidden states of transformers, alone or in padded batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mer.encoders.layer_tap import layers_of
from mer.encoders.lexical import CAUSAL_TOKENS, TextEncoder, load_lexical
from mer.encoders.placement import Placement
from mer.encoders.weights import resolve_weights
from mer.errors import ConfigError, WeightsError

LAYERS = 3
START, END, PAD = 1, 2, 0
COMMON: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": LAYERS,
    "num_attention_heads": 4, "pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END,
}  # fmt: skip


def causal(name: str, **more: Any) -> Any:
    config = getattr(transformers, f"{name}Config")(**COMMON, num_key_value_heads=2, **more)
    return getattr(transformers, f"{name}ForCausalLM")(config)


def bidirectional(name: str, **more: Any) -> Any:
    return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**COMMON, **more))


def distilbert() -> Any:
    config = transformers.DistilBertConfig(
        vocab_size=40, dim=32, hidden_dim=48, n_layers=LAYERS, n_heads=4, pad_token_id=PAD
    )
    return transformers.DistilBertModel(config)


FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": lambda: causal("Llama"),
    "mistral": lambda: causal("Mistral", sliding_window=None),
    "qwen2": lambda: causal("Qwen2"),
    "qwen3": lambda: causal("Qwen3", head_dim=8),
    "bert": lambda: bidirectional("Bert"),
    "roberta": lambda: bidirectional("Roberta", max_position_embeddings=60),
    "electra": lambda: bidirectional("Electra", embedding_size=16),
    "mpnet": lambda: bidirectional("MPNet"),
    "albert": lambda: bidirectional("Albert", embedding_size=16, inner_group_num=1),
    "deberta-v2": lambda: bidirectional(
        "DebertaV2", relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8
    ),
    "distilbert": distilbert,
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint whose tokenizer puts a start token in front of the words w3, w4, ..."""
    place: Path = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(2)
    model = FAMILIES[request.param]()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower():
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(place)
    (byte_pairs if request.param == "qwen2" else whole_words)().save_pretrained(place)
    return place


def whole_words() -> Any:
    vocabulary = {"<pad>": PAD, "<s>": START, "</s>": END} | {f"w{one}": one for one in range(3, 40)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w39"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", START)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", model_max_length=32
    )


def byte_pairs() -> Any:
    """Qwen2's own class: characters here, and no start token, as in the published models."""
    vocabulary = {"<|endoftext|>": 0} | {one: place for place, one in enumerate("w0123456789Ġ", start=3)}
    return transformers.Qwen2Tokenizer(vocab=vocabulary, merges=[], model_max_length=32)


def load(folder: Path, precision: Any = "fp32") -> TextEncoder:
    return load_lexical(resolve_weights(str(folder), folder / "cache"), Placement(precision=precision))


def test_states_are_those_of_transformers_without_the_start_token(folder: Path) -> None:
    encoder = load(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = encoder.tokens("w5 w7 w9 w11")
    start = 0 if encoder.module.config.model_type == "qwen2" else 1
    assert tokens.words == [False] * start + [True] * (len(tokens.ids) - start)
    assert len(tokens.ids) == 5 if start else 12
    with torch.inference_mode():
        whole = model(torch.tensor([tokens.ids]), output_hidden_states=True)
    found = encoder.states("w5 w7 w9 w11", range(LAYERS + 1))
    for index, state in enumerate(found):
        expected = whole.last_hidden_state if index == LAYERS else whole.hidden_states[index]
        torch.testing.assert_close(state, expected[0, start:], rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing(folder: Path) -> None:
    encoder = load(folder)
    texts = [encoder.tokens(text) for text in ("w5 w6 w7 w8 w9", "w5", "w9 w8")]
    for text, states in zip(texts, encoder.states_of_batch(texts, (1, LAYERS)), strict=True):
        (alone,) = encoder.states_of_batch([text], (1, LAYERS))
        for state, expected in zip(states, alone, strict=True):
            torch.testing.assert_close(state, expected, rtol=1e-4, atol=1e-5)


def test_layers_above_the_last_wanted_one_never_run(folder: Path) -> None:
    encoder = load(folder)
    calls: list[int] = []
    for layer in layers_of(encoder.module):
        layer.register_forward_hook(lambda *_: calls.append(1))
    encoder.states("w5 w6", (0, 2))
    assert len(calls) == 2
    encoder.states("w5 w6", (0,))
    assert len(calls) == 2


def test_long_texts_are_cut_and_say_so(folder: Path) -> None:
    encoder = load(folder)
    assert encoder.max_tokens == 32 < CAUSAL_TOKENS
    long, short = encoder.tokens("w5 " * 50), encoder.tokens("w5 w6")
    assert (len(long.ids), long.cut, short.cut) == (32, True, False)


def test_bf16_stays_near(folder: Path) -> None:
    exact, fast = (load(folder, one).states("w5 w7 w9", (LAYERS,))[0] for one in ("fp32", "bf16"))
    assert float(torch.cosine_similarity(exact.flatten(), fast.float().flatten(), dim=0)) > 0.999


def test_sentencepiece_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    causal("Llama").save_pretrained(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"")
    monkeypatch.setattr("mer.encoders.tokens.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install sentencepiece"):
        load(tmp_path)


def test_a_model_without_known_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected layers at"):
        layers_of(torch.nn.Linear(2, 2))
