from __future__ import annotations

import pytest
import torch
import transformers

from mer.encoders.acoustic import load_acoustic, load_speech
from mer.encoders.weights import ResolvedWeights, resolve_weights
from mer.errors import ConfigError


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


def test_whisper_cannot_be_entered_at_a_layer(whisper: ResolvedWeights) -> None:
    with pytest.raises(ConfigError, match="found 'whisper'"):
        load_acoustic(whisper)
