"""Layers run in part give what the whole encoder gives, padded or not, and no layer too many is run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers.models.moonshine.modeling_moonshine import MoonshineEncoder
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from mer.encoders import LayeredEncoder, load_acoustic, resolve_weights
from mer.encoders.hidden_states import state_indices
from mer.encoders.placement import Placement
from mer.errors import ConfigError, WeightsError

LAYERS = 4
TINY: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 4, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.5,
}


def hubert(stable: bool) -> Any:
    norm = "layer" if stable else "group"
    config = transformers.HubertConfig(**TINY, do_stable_layer_norm=stable, feat_extract_norm=norm)
    return transformers.HubertModel(config)


def wav2vec2(stable: bool) -> Any:
    norm = "layer" if stable else "group"
    config = transformers.Wav2Vec2Config(**TINY, do_stable_layer_norm=stable, feat_extract_norm=norm)
    return transformers.Wav2Vec2Model(config)


def wavlm(stable: bool) -> Any:
    norm = "layer" if stable else "group"
    config = transformers.WavLMConfig(
        **TINY, do_stable_layer_norm=stable, feat_extract_norm=norm, num_buckets=20, max_bucket_distance=40
    )
    return transformers.WavLMModel(config)


def data2vec() -> Any:
    config = transformers.Data2VecAudioConfig(**TINY, conv_pos_kernel_size=5, num_ctc_classes=4)
    return transformers.Data2VecAudioModel(config)


def moonshine() -> Any:
    config = transformers.MoonshineConfig(
        hidden_size=32,
        intermediate_size=48,
        encoder_num_hidden_layers=LAYERS,
        encoder_num_attention_heads=4,
        encoder_num_key_value_heads=4,
    )
    return MoonshineEncoder(config)


def whisper() -> Any:
    config = transformers.WhisperConfig(
        d_model=32,
        encoder_layers=LAYERS,
        encoder_attention_heads=4,
        encoder_ffn_dim=48,
        encoder_layerdrop=0.5,
        decoder_layers=0,
        max_source_positions=200,
        vocab_size=9,
        pad_token_id=0,
    )
    return WhisperEncoder(config)


MODELS: dict[str, Callable[[], Any]] = {
    "moonshine": moonshine,
    "hubert-base": lambda: hubert(False),
    "hubert-large": lambda: hubert(True),
    "wav2vec2-base": lambda: wav2vec2(False),
    "wav2vec2-large": lambda: wav2vec2(True),
    "wavlm-base": lambda: wavlm(False),
    "wavlm-large": lambda: wavlm(True),
    "data2vec": data2vec,
    "whisper": whisper,
}


@pytest.fixture(scope="module", params=list(MODELS))
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LayeredEncoder:
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(1)
    model = MODELS[request.param]()
    with torch.no_grad():  # norms at their initial values would hide a norm that is left out or run twice
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"do_normalize": false}')
    return load_acoustic(resolve_weights(str(folder), folder / "cache"))


def waveform(samples: int, seed: int = 0) -> Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed)) * 0.1


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < tolerance


def read_by_transformers(encoder: LayeredEncoder, sound: Tensor) -> Any:
    """Hidden states by the model's own forward pass; Whisper's takes one length, which here becomes that of the sound."""
    if encoder.module.config.model_type != "whisper":
        return encoder.module(sound[None], output_hidden_states=True)
    model, mel = copy.deepcopy(encoder.module), encoder.entered(sound)
    frames = mel.shape[-1] // 2
    model.config.max_source_positions = frames
    model.embed_positions = torch.nn.Embedding.from_pretrained(encoder.module.embed_positions.weight[:frames])
    return model(mel, output_hidden_states=True)


def test_hidden_states_are_those_of_transformers(encoder: LayeredEncoder) -> None:
    sound = waveform(8000)
    with torch.inference_mode():
        whole = read_by_transformers(encoder, sound)
    states = encoder.hidden_states(sound)
    assert states.shape[0] == encoder.layer_count + 1 == LAYERS + 1
    for layer in range(LAYERS):
        assert_close(states[layer], whole.hidden_states[layer][0])
    assert_close(states[LAYERS], whole.last_hidden_state[0])


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # WavLM's own call
def test_any_block_from_cached_padded_states(encoder: LayeredEncoder) -> None:
    whole = [encoder.hidden_states(waveform(samples, samples)) for samples in (8000, 5000, 6500)]
    lengths = [states.shape[1] for states in whole]
    for start in range(LAYERS):
        hidden = torch.nn.utils.rnn.pad_sequence([states[start] for states in whole], batch_first=True)
        mask = torch.arange(hidden.shape[1])[None] < torch.tensor(lengths)[:, None]
        hidden[~mask] = 7.0  # whatever lies in the padding must not matter
        for stop in range(start + 1, LAYERS + 1):
            with torch.inference_mode():
                found = encoder.run_layers(hidden, mask, start, stop)
            assert len(found) == stop - start
            for state, layer in zip(found, range(start + 1, stop + 1), strict=True):
                for row, length in enumerate(lengths):
                    assert_close(state[row, :length], whole[row][layer])


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # WavLM's own call
def test_padded_batches_give_what_single_waveforms_give(encoder: LayeredEncoder) -> None:
    sounds = [waveform(samples, samples) for samples in (8000, 5000, 6500)]
    together = encoder.states_of_batch([encoder.prepared(one) for one in sounds], (0, 2, LAYERS))
    for sound, states in zip(sounds, together, strict=True):
        for state, alone in zip(states, encoder.states(sound, (0, 2, LAYERS)), strict=True):
            assert_close(state, alone)
            assert state.shape[0] == encoder.frame_count(sound.numel())


def test_bf16_stays_near(encoder: LayeredEncoder, tmp_path: Path) -> None:
    encoder.module.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false}')
    resolved = resolve_weights(str(tmp_path), tmp_path / "cache")
    fast = load_acoustic(resolved, Placement(precision="bf16"))
    sound = waveform(8000)
    for exact, near in zip(encoder.states(sound, (0, LAYERS)), fast.states(sound, (0, LAYERS)), strict=True):
        assert near.dtype == torch.bfloat16
        cosine = torch.cosine_similarity(exact.mean(dim=0), near.float().mean(dim=0), dim=0)
        assert float(cosine) > 0.999


def test_attention_is_scaled_dot_product(encoder: LayeredEncoder) -> None:
    if encoder.module.config.model_type == "wavlm":
        pytest.skip("WavLM's attention is torch's own multi-head attention, with a gated bias")
    assert encoder.module.config._attn_implementation == "sdpa"


def test_layers_above_the_last_wanted_one_never_run(encoder: LayeredEncoder) -> None:
    calls: list[int] = []
    layers = encoder.module.get_submodule(encoder.layer_module_names(0, 1)[0].split(".0.")[0])
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
        for number, layer in enumerate(layers.children())
    ]
    sound = waveform(5000)
    states = encoder.states(sound, (0, 2))
    assert calls == [0, 1]
    calls.clear()
    encoder.states(sound, (0,))
    assert calls == []
    mask = torch.ones(1, states[1].shape[0], dtype=torch.bool)
    with torch.inference_mode():
        encoder.run_layers(states[1][None], mask, 2, 3)
    assert calls == [2]
    for hook in hooks:
        hook.remove()


def test_module_names_are_the_linear_maps_of_the_block(encoder: LayeredEncoder) -> None:
    names = encoder.layer_module_names(1, 3)
    assert len(names) == len(set(names)) == 12
    modules = dict(encoder.module.named_modules())
    assert all(isinstance(modules[name], torch.nn.Linear) for name in names)
    assert all(".1." in name or ".2." in name for name in names)


def test_training_mode_drops_no_layer(encoder: LayeredEncoder) -> None:
    twin = copy.deepcopy(encoder)
    for module in twin.module.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    twin.module.train()
    for module in twin.module.modules():  # attention dropout is a number, not a module
        if hasattr(module, "attention_dropout") or hasattr(module, "num_heads"):
            module.eval()
    hidden = encoder.states(waveform(5000), (0,))[0][None].clone()
    mask = torch.ones(1, hidden.shape[1], dtype=torch.bool)
    with torch.no_grad():
        expected = encoder.run_layers(hidden, mask, 0, LAYERS)[-1]
        for _ in range(5):
            assert_close(twin.run_layers(hidden, mask, 0, LAYERS)[-1], expected)
    if hasattr(twin.module.config, "layerdrop"):
        assert twin.module.config.layerdrop == 0.0


def test_shortest_waveform_gives_one_frame(encoder: LayeredEncoder) -> None:
    assert encoder.states(waveform(encoder.minimum_samples), (0,))[0].shape == (1, encoder.width)
    whisper = (
        encoder.module.config.model_type == "whisper"
    )  # half a window of its log-mel frames is the least
    with pytest.raises(RuntimeError, match=r"(?i)kernel size|padding size"):
        encoder.states(waveform(200 if whisper else encoder.minimum_samples - 1), (0,))


def test_frame_rate(encoder: LayeredEncoder) -> None:
    frames = encoder.states(waveform(64_000), (0,))[0].shape[0]
    assert frames == pytest.approx(4 * encoder.frames_per_second, abs=2)


def test_gradients_reach_the_input(encoder: LayeredEncoder) -> None:
    hidden = encoder.states(waveform(5000), (1,))[0][None].clone().requires_grad_()
    mask = torch.ones(1, hidden.shape[1], dtype=torch.bool)
    encoder.run_layers(hidden, mask, 1, 3)[-1].square().sum().backward()
    assert hidden.grad is not None
    assert float(hidden.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in encoder.module.parameters())


def test_block_outside_the_encoder_is_refused(encoder: LayeredEncoder) -> None:
    mask = torch.ones(1, 5, dtype=torch.bool)
    for start, stop in ((2, 2), (-1, 2), (0, LAYERS + 1)):
        with pytest.raises(ConfigError, match="expected layers"):
            encoder.run_layers(torch.zeros(1, 5, encoder.width), mask, start, stop)


def test_state_indices() -> None:
    assert state_indices("all", 3) == (0, 1, 2, 3)
    assert state_indices("output", 3) == (3,)
    assert state_indices((-2, 0), 3) == (2, 0)
    for wrong in ((4,), (-5,), (3, -1)):
        with pytest.raises(ConfigError, match="hidden states within"):
            state_indices(wrong, 3)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    hubert(True).save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    for change in ('"num_hidden_layers": 5', '"num_hidden_layers": 4, "intermediate_size": 64'):
        (tmp_path / "config.json").write_text(config.replace('"num_hidden_layers": 4', change))
        if "intermediate" in change:
            text = (tmp_path / "config.json").read_text().replace('"intermediate_size": 48', '"unused": 0')
            (tmp_path / "config.json").write_text(text)
        with pytest.raises(WeightsError):
            load_acoustic(resolve_weights(str(tmp_path), tmp_path / "cache"))


def test_other_encoders_are_refused_by_name(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="found 'bert'"):
        load_acoustic(resolve_weights(str(tmp_path), tmp_path / "cache"))
