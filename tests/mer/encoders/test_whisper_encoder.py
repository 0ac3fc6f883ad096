from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from mer.encoders.acoustic import load_acoustic, load_speech
from mer.encoders.weights import ResolvedWeights, resolve_weights
from mer.encoders.windows import windows
from mer.errors import ConfigError, WeightsError


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> ResolvedWeights:
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(1)
    config = transformers.WhisperConfig(
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        vocab_size=30,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)
    return resolve_weights(str(folder), folder / "cache")


def test_states_are_those_of_transformers_cut_to_the_sound(whisper: ResolvedWeights) -> None:
    encoder = load_speech(whisper)
    sound = torch.randn(16_000, generator=torch.Generator().manual_seed(0)) * 0.1
    model = transformers.WhisperModel.from_pretrained(whisper.folder).eval()
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(whisper.folder)
    mel = extractor(sound.numpy(), sampling_rate=16_000, return_tensors="pt").input_features
    with torch.inference_mode():
        whole = model.encoder(mel, output_hidden_states=True).hidden_states
    for index, state in zip((0, 1, 2), encoder.states(sound, (0, 1, 2)), strict=True):
        assert state.shape == (50, 16)  # one second; the padding to 30 seconds is no frame of ours
        torch.testing.assert_close(state, whole[index][0, :50], rtol=1e-4, atol=1e-5)


def test_an_encoder_without_its_decoder_gives_the_same_states(
    whisper: ResolvedWeights, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(whisper.folder, alone)
    tensors = load_file(alone / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("decoder.")}
    assert len(kept) < len(tensors)
    save_file(kept, alone / "model.safetensors", {"format": "pt"})
    sound = torch.randn(16_000, generator=torch.Generator().manual_seed(0)) * 0.1
    states = [
        load_speech(resolve_weights(str(folder), tmp_path / "cache")).states(sound, (0, 2))
        for folder in (whisper.folder, alone)
    ]
    for whole, part in zip(*states, strict=True):
        assert torch.equal(whole, part)
    save_file(dict(list(kept.items())[1:]), alone / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match="1 weights of WhisperModel are missing"):
        load_speech(resolve_weights(str(alone), tmp_path / "cache"))


def test_whisper_cannot_be_entered_at_a_layer(whisper: ResolvedWeights) -> None:
    with pytest.raises(ConfigError, match="found 'whisper'"):
        load_acoustic(whisper)


def test_batches_and_windows_of_thirty_seconds(whisper: ResolvedWeights) -> None:
    encoder = load_speech(whisper)
    sounds = [
        torch.randn(samples, generator=torch.Generator().manual_seed(samples)) * 0.1
        for samples in (16_000, 9_999)
    ]
    for sound, states in zip(sounds, encoder.states_of_batch(sounds, (1, 2)), strict=True):
        for state, alone in zip(states, encoder.states(sound, (1, 2)), strict=True):
            torch.testing.assert_close(state, alone, rtol=1e-4, atol=1e-5)
    cut = windows(encoder, 40 * 16_000, 600.0)
    assert [one.samples.stop - one.samples.start for one in cut] == [480_000, 480_000]
    kept = [one.frames.indices(encoder.frame_count(480_000)) for one in cut]
    assert sum(stop - start for start, stop, _ in kept) == encoder.frame_count(40 * 16_000)
