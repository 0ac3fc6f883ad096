"""Whisper read without padding: what loads, what a clip's frames see, and that no batch and no window changes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from mer.clips import Clip
from mer.encoders.acoustic import load_acoustic
from mer.encoders.hidden_states import LayeredEncoder
from mer.encoders.placement import Placement
from mer.encoders.trials import sound_trials, voice
from mer.encoders.weights import ResolvedWeights, resolve_weights
from mer.encoders.windows import windows
from mer.errors import WeightsError
from mer.features.extract import build_extractor
from mer.features.spec import AudioPreparation, FeatureSpec

TINY: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 30, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> ResolvedWeights:
    """A whole model with its decoder."""
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(1)
    config = transformers.WhisperConfig(**TINY)
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)
    return resolve_weights(str(folder), folder / "cache")


def noise(samples: int, seed: int = 0) -> Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed)) * 0.1


def loaded(folder: Path, tmp_path: Path) -> LayeredEncoder:
    return load_acoustic(resolve_weights(str(folder), tmp_path / "cache"))


def test_thirty_seconds_are_what_transformers_reads(whisper: ResolvedWeights) -> None:
    """The one length at which its own reading and ours are the same."""
    sound = noise(480_000)
    model = transformers.WhisperModel.from_pretrained(whisper.folder).eval()
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(whisper.folder)
    mel = extractor(sound.numpy(), sampling_rate=16_000, return_tensors="pt").input_features
    with torch.inference_mode():
        whole = model.encoder(mel, output_hidden_states=True).hidden_states
    for index, state in enumerate(load_acoustic(whisper).hidden_states(sound)):
        torch.testing.assert_close(state, whole[index][0], rtol=1e-4, atol=1e-5)


def test_a_clip_is_read_without_padding(whisper: ResolvedWeights) -> None:
    """Fails where silence up to 30 seconds is read: its frames would be attended to."""
    encoder, sound = load_acoustic(whisper), noise(16_000)
    seen: list[torch.Size] = []
    hook = encoder.module.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    states = encoder.hidden_states(sound)
    hook.remove()
    assert seen == [(1, 50, 16)] and states.shape == (3, 50, 16)
    padded = encoder.hidden_states(torch.cat([sound, torch.zeros(464_000)]))
    assert float((padded[2, :50] - states[2]).abs().max()) > 1e-2


def test_frames_of_any_length(whisper: ResolvedWeights) -> None:
    encoder = load_acoustic(whisper)
    for samples in (320, 321, 479, 480, 639, 640, 15_999, 16_001, 16_160):
        states = encoder.states(noise(samples), (0, 2))
        assert [len(state) for state in states] == [encoder.frame_count(samples)] * 2, samples
    assert encoder.frame_count(320) == 1 and encoder.frame_count(16_000) == 50


@pytest.mark.parametrize("kind", ["model", "with a head for text", "encoder alone", "no decoder"])
def test_every_kind_of_checkpoint_gives_the_same_encoder(
    whisper: ResolvedWeights, tmp_path: Path, kind: str
) -> None:
    assert whisper.folder is not None
    tensors = load_file(whisper.folder / "model.safetensors")
    encoder = {name: tensor for name, tensor in tensors.items() if name.startswith("encoder.")}
    assert 0 < len(encoder) < len(tensors)
    saved = {
        "model": tensors,
        "with a head for text": {f"model.{name}": tensor for name, tensor in tensors.items()},
        "encoder alone": {name.removeprefix("encoder."): tensor for name, tensor in encoder.items()},
        "no decoder": encoder,
    }[kind]
    folder = tmp_path / "other"
    shutil.copytree(whisper.folder, folder)
    save_file(saved, folder / "model.safetensors", {"format": "pt"})
    states = [loaded(one, tmp_path).hidden_states(noise(16_000)) for one in (whisper.folder, folder)]
    assert torch.equal(*states)
    missing = next(name for name in saved if name.endswith("layers.1.fc1.weight") and "decoder" not in name)
    save_file(
        {name: tensor for name, tensor in saved.items() if name != missing},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(
        WeightsError, match=r"1 weights of WhisperEncoder are missing \(layers\.1\.fc1\.weight\)"
    ):
        loaded(folder, tmp_path)


def test_the_configuration_of_the_mel_frames(whisper: ResolvedWeights, tmp_path: Path) -> None:
    assert whisper.folder is not None
    folder = tmp_path / "other"
    shutil.copytree(whisper.folder, folder)
    expected = loaded(folder, tmp_path).hidden_states(noise(16_000))
    options = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(options | {"feature_size": 128}))
    with pytest.raises(WeightsError, match=r"of 80 mel bins .*, found 128, 160 and 16000"):
        loaded(folder, tmp_path)
    (folder / "preprocessor_config.json").write_text(json.dumps(options | {"feature_size": "many"}))
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json"):
        loaded(folder, tmp_path)
    (folder / "preprocessor_config.json").unlink()
    assert torch.equal(loaded(folder, tmp_path).hidden_states(noise(16_000)), expected)


def test_mel_frames_are_not_of_the_encoders_precision(whisper: ResolvedWeights) -> None:
    """bf16 has 8 bits: sound rounded to it would have a noise floor of its own."""
    exact, coarse = (load_acoustic(whisper, Placement(precision=precision)) for precision in ("fp32", "bf16"))
    mel, rounded = (one.entered(noise(16_000)) for one in (exact, coarse))
    assert rounded.dtype == torch.bfloat16
    assert torch.equal(rounded, mel.to(torch.bfloat16))


def test_batches_and_windows_of_thirty_seconds(whisper: ResolvedWeights) -> None:
    encoder = load_acoustic(whisper)
    sounds = [noise(samples, samples) for samples in (16_000, 9_999, 40_000)]
    for sound, states in zip(sounds, encoder.states_of_batch(sounds, (0, 1, 2)), strict=True):
        for state, alone in zip(states, encoder.states(sound, (0, 1, 2)), strict=True):
            torch.testing.assert_close(state, alone, rtol=1e-4, atol=1e-5)
    cut = windows(encoder, 40 * 16_000, 600.0)
    assert [one.samples.stop - one.samples.start for one in cut] == [480_000, 480_000]
    kept = [one.frames.indices(encoder.frame_count(480_000)) for one in cut]
    assert sum(stop - start for start, stop, _ in kept) == encoder.frame_count(40 * 16_000)
    assert encoder.frame_count(480_000) == len(encoder.states(noise(500_000), (0,))[0]) == 1500, (
        "no more is seen at once"
    )


def test_a_clip_of_more_than_thirty_seconds_is_read_in_windows(
    whisper: ResolvedWeights, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "long.wav", noise(35 * 16_000).numpy(), 16_000)
    spec = FeatureSpec(
        modality="acoustic",
        source=str(whisper.folder),
        layers=(0, 2),
        pooling="frames",
        audio=AudioPreparation(trim_silence=False, max_seconds=60),
    )
    clip = Clip(content="long", name="long", path=tmp_path / "long.wav", corpus_root=tmp_path)
    feature = build_extractor(spec, tmp_path / "cache").extract(clip)
    assert feature.values.shape == (35 * 50, 2, 16) and feature.flags == ()


def test_bf16_is_proved_at_every_length(whisper: ResolvedWeights) -> None:
    """As it was read before, padded to 30 seconds, all lengths were one."""
    frames = {name: len(states[2]) for name, states in sound_trials(whisper, Placement())}
    alone = {kind: frames[f"{kind}, single"] for kind in ("short", "medium", "long")}
    assert alone == {"short": 25, "medium": 165, "long": 800}
    assert all(frames[f"{kind}, batched"] > count for kind, count in alone.items())


def test_the_real_encoder_alone_and_in_a_batch(shared_data: Path, tmp_path: Path) -> None:
    """Sums of 512 float32 products in another order differ by about 1e-6 of the largest state, over six layers by 1e-5."""
    folder = shared_data / "models" / "whisper-base-encoder"
    if not folder.is_dir():
        pytest.skip(f"no Whisper encoder at {folder}")
    encoder = loaded(folder, tmp_path)
    assert (encoder.layer_count, encoder.width, encoder.longest_seconds, encoder.frames_per_second) == (
        6,
        512,
        30.0,
        50.0,
    )
    sounds = [torch.from_numpy(voice(samples)) for samples in (24_000, 8_000, 16_160)]
    for sound, states in zip(sounds, encoder.states_of_batch(sounds, range(7)), strict=True):
        for state, alone in zip(states, encoder.hidden_states(sound), strict=True):
            assert state.shape == (encoder.frame_count(sound.numel()), 512)
            assert float((state - alone).abs().max()) < 1e-4 * float(alone.abs().max())
