"""Several features out of one decoding and one pass, equal to each feature by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch

from mer.clips import Clip
from mer.errors import ConfigError, WeightsError
from mer.features.extract import build_extractor, build_extractors, extract_clips, extract_clips_of_each
from mer.features.multi import MultiExtractor
from mer.features.spec import AudioPreparation, FeatureSpec, FramePreparation
from mer.features.speech import SpeechReader
from mer.media.contained import ContainedMedia

MOONSHINE = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny")
UTT = FeatureSpec(
    modality="acoustic",
    source="wheel:moonshine-tiny",
    layers=(-4, -3, -2, -1),
    reduce_layers="sum",
    pooling="mean",
)
FRA = UTT.model_copy(update={"pooling": "frames"})
MIDDLE = UTT.model_copy(update={"layers": (1, 2), "reduce_layers": "mean"})
TEXT = FeatureSpec(modality="lexical", source="wheel:all-minilm-l6-v2")
FRAMES = FramePreparation(frames=4)
FACES = FeatureSpec(modality="visual", source="seed:clip-tiny", frames=FRAMES)
STATES = FACES.model_copy(update={"layers": (1, 2), "pooling": "frames"})
CROPS = FeatureSpec(modality="visual", source="crops:", frames=FRAMES)
ALL = (UTT, FACES, FRA, TEXT, MIDDLE, MOONSHINE, STATES, CROPS)


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """Picture and sound, two seconds."""
    path = tmp_path / "clip.mkv"
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 96, 80, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for _ in range(20):
            picture = generator.integers(0, 255, (80, 96, 3), dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        samples = (generator.standard_normal((1, 32_000)) * 3000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(audio.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode())
    return Clip(
        content="clip", name="clip", path=path, corpus_root=tmp_path, transcript="I am so happy for you"
    )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often media were decoded."""
    calls = {"decode_audio": 0, "sample_frames": 0}

    def counting(name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            calls[name] += 1
            return whole(*args, **options)

        return call

    for name in calls:
        monkeypatch.setattr(ContainedMedia, name, counting(name, getattr(ContainedMedia, name)))
    return calls


def speech_reader(extractor: MultiExtractor) -> SpeechReader:
    (reader,) = [one for one in extractor.readers if isinstance(one, SpeechReader)]
    return reader


@pytest.mark.slow
def test_each_feature_is_what_it_is_by_itself(clip: Clip, weights_cache: Path) -> None:
    together = build_extractors(ALL, weights_cache).extract(clip)
    for spec, found in zip(ALL, together, strict=True):
        alone = build_extractor(spec, weights_cache).extract(clip)
        assert (found.present, found.flags) == (alone.present, alone.flags) == (True, ())
        np.testing.assert_allclose(found.values, alone.values, rtol=1e-5, atol=1e-6)
    utterance, frames = together[0].values, together[2].values
    assert utterance.shape == (1, 288)
    np.testing.assert_allclose(utterance[0], frames.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_one_decoding_and_one_pass(clip: Clip, weights_cache: Path, counted: dict[str, int]) -> None:
    extractor = build_extractors(ALL, weights_cache)
    assert len(extractor.readers) == 4  # speech, faces, text, crops
    calls: list[int] = []
    for number, layer in enumerate(speech_reader(extractor).encoder.module.layers):  # type: ignore[attr-defined]
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    extractor.extract(clip)
    assert counted == {"decode_audio": 1, "sample_frames": 1}
    assert calls == [0, 1, 2, 3, 4, 5]


def test_layers_above_the_last_one_any_spec_reads_never_run(clip: Clip, weights_cache: Path) -> None:
    extractor = build_extractors((MIDDLE, MOONSHINE.prefix(3)), weights_cache)
    calls: list[int] = []
    for number, layer in enumerate(speech_reader(extractor).encoder.module.layers):  # type: ignore[attr-defined]
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    extractor.extract(clip)
    assert calls == [0, 1, 2]


def test_other_preparations_share_the_decoding_only(
    clip: Clip, weights_cache: Path, counted: dict[str, int]
) -> None:
    as_is = UTT.model_copy(update={"audio": AudioPreparation(trim_silence=False, peak_normalise=False)})
    extractor = build_extractors((UTT, as_is), weights_cache)
    normalised, plain = extractor.extract(clip)
    assert len(extractor.readers) == 2
    assert counted["decode_audio"] == 1
    assert np.abs(normalised.values - plain.values).max() > 1e-3


def test_speeds_share_the_decoding_and_the_encoder(
    clip: Clip, weights_cache: Path, counted: dict[str, int]
) -> None:
    specs = (UTT, UTT.at_speed(0.9), UTT.at_speed(1.1))
    extractor = build_extractors(specs, weights_cache)
    encoders = {id(reader.encoder.module) for reader in extractor.readers if isinstance(reader, SpeechReader)}  # type: ignore[attr-defined]
    together = extractor.extract(clip)
    assert (len(extractor.readers), len(encoders), counted["decode_audio"]) == (3, 1, 1)
    for spec, found in zip(specs, together, strict=True):
        alone = build_extractor(spec, weights_cache).extract(clip)
        np.testing.assert_allclose(found.values, alone.values, rtol=1e-5, atol=1e-6)
    assert np.abs(together[1].values - together[2].values).max() > 1e-3
    assert extractor.absent("no_audio")[2].values.shape == together[2].values.shape


def test_a_stream_that_fails_masks_its_own_features_only(
    clip: Clip, tmp_path: Path, weights_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    soundfile.write(tmp_path / "voice.wav", np.random.default_rng(0).standard_normal(16_000) * 0.1, 16_000)
    voice = Clip(content="v", name="v", path=tmp_path / "voice.wav", corpus_root=tmp_path)
    columns = extract_clips_of_each(build_extractors((UTT, FACES, TEXT), weights_cache), [voice, clip, voice])
    assert [[one.present for one in column] for column in columns] == [
        [True, True, True],
        [False, True, False],
        [False, True, False],
    ]
    assert columns[1][0].flags == ("no_usable_stream",)
    assert columns[2][0].flags == ("no_transcript",)
    assert columns[1][0].values.shape == (1, 96)
    assert "visual features of clip 'v' are masked" in caplog.text


def test_files_lie_beside_what_is_encoded(clip: Clip, weights_cache: Path) -> None:
    folder = clip.corpus_root / "features" / "au-UTT"
    folder.mkdir(parents=True)
    np.save(folder / "clip.npy", np.arange(3, dtype=np.float32))
    units = FeatureSpec(modality="visual", source="files:au-UTT")
    found, _ = build_extractors((units, TEXT), weights_cache).extract(clip)
    np.testing.assert_array_equal(found.values, [[0, 1, 2]])


def test_a_batch_gives_what_single_clips_give(clip: Clip, tmp_path: Path, weights_cache: Path) -> None:
    """The way of a GPU, here: padded batches over clips of different length."""
    clips = [clip]
    for number, seconds in enumerate((0.7, 1.3, 2.9)):
        path = tmp_path / f"{number}.wav"
        soundfile.write(
            path, np.random.default_rng(number).standard_normal(round(seconds * 16_000)) * 0.1, 16_000
        )
        clips.append(
            Clip(
                content=str(number),
                name=str(number),
                path=path,
                corpus_root=tmp_path,
                transcript="so " * number,
            )
        )
    specs = (UTT, FRA, TEXT, FACES)
    extractor = build_extractors(specs, weights_cache)
    alone = extract_clips_of_each(extractor, clips)
    for reader in extractor.readers:
        reader.batches.budget = 1000.0  # type: ignore[attr-defined]
    rounds = [extractor._prepared(one) for one in clips]
    together = extractor._finished(clips, rounds)
    for row, features in enumerate(together):
        for column, found in enumerate(features):
            expected = alone[column][row]
            assert (found.present, found.flags) == (expected.present, expected.flags)
            np.testing.assert_allclose(found.values, expected.values, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_what_the_processor_gives(clip: Clip, weights_cache: Path) -> None:
    expected = build_extractors((UTT, FRA, TEXT, FACES), weights_cache, device="cpu").extract(clip)
    on_gpu = build_extractors((UTT, FRA, TEXT, FACES), weights_cache, device="cuda")
    for found, one in zip(on_gpu.extract(clip), expected, strict=True):
        np.testing.assert_allclose(found.values, one.values, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_running_out_of_memory_changes_no_value(
    clip: Clip, weights_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = build_extractors((UTT,), weights_cache)
    (expected,) = extractor.extract(clip)
    reader = speech_reader(extractor)
    reader.batches.budget = 1000.0
    whole = reader.encode

    def small_device(items: list[Any]) -> Any:
        if len(items) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(items)

    monkeypatch.setattr(reader, "encode", small_device)
    rows = extractor._finished([clip] * 5, [extractor._prepared(clip) for _ in range(5)])
    assert reader.batches.budget < 10
    for (found,) in rows:
        np.testing.assert_array_equal(found.values, expected.values)


def test_long_clips_go_in_windows_and_say_when_they_are_cut(tmp_path: Path, weights_cache: Path) -> None:
    sound = np.random.default_rng(0).standard_normal(7 * 16_000) * 0.1
    soundfile.write(tmp_path / "long.wav", sound, 16_000, subtype="FLOAT")
    long = Clip(content="long", name="long", path=tmp_path / "long.wav", corpus_root=tmp_path)

    def features(**audio: float) -> Any:
        as_is = AudioPreparation(trim_silence=False, peak_normalise=False, **audio)  # type: ignore[arg-type]
        mean_std = MOONSHINE.model_copy(update={"audio": as_is})
        frames = mean_std.model_copy(update={"pooling": "frames"})
        mean = mean_std.model_copy(update={"pooling": "mean"})
        return build_extractors((mean_std, frames, mean), weights_cache).extract(long)

    whole, windowed, cut = features(), features(window_seconds=3.0), features(max_seconds=4.0)
    assert windowed[1].values.shape == whole[1].values.shape
    assert (whole[0].flags, windowed[0].flags, cut[0].flags) == ((), (), ("cut",))
    assert len(cut[1].values) == pytest.approx(len(whole[1].values) * 4 / 7, abs=2)
    frames = windowed[1].values  # statistics over windows are those of all their frames
    np.testing.assert_allclose(windowed[2].values[0], frames.mean(axis=0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(windowed[0].values[0, :, :288], frames.mean(axis=0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(windowed[0].values[0, :, 288:], frames.std(axis=0), rtol=1e-3, atol=1e-4)


def test_decoding_ahead_keeps_the_order(clip: Clip, tmp_path: Path, weights_cache: Path) -> None:
    clips = []
    for number in range(7):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.full(16_000 + 1600 * number, 0.1 * (number + 1)), 16_000)
        clips.append(Clip(content=str(number), name=str(number), path=path, corpus_root=tmp_path))
    as_is = AudioPreparation(trim_silence=False, peak_normalise=False)
    extractor = build_extractor(FRA.model_copy(update={"audio": as_is}), weights_cache)
    lengths = [len(one.values) for one in extract_clips(extractor, clips)]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == 7
    assert extract_clips(extractor, []) == []


def test_what_cannot_work_fails_before_the_first_clip(tmp_path: Path) -> None:
    nowhere = FramePreparation(detector=str(tmp_path / "absent.onnx"))
    with pytest.raises(WeightsError, match="YuNet"):
        build_extractors((CROPS.model_copy(update={"frames": nowhere}),), tmp_path)
    with pytest.raises(ConfigError, match="hidden states within"):
        build_extractors((FACES.model_copy(update={"layers": (9,)}),), tmp_path)
