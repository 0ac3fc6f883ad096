"""One clip's failure, whatever it is, costs that clip: extraction, quality, transcription, the library and predictors go on."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from hostile_media import write_refused

import mer
from mer.clips import Clip
from mer.errors import MediaError, QuarantineReason, WeightsError
from mer.features.clip_feature import ClipFeature, masked
from mer.features.extract import build_extractor, build_extractors, extract_clips, extract_clips_of_each
from mer.features.spec import FeatureSpec, FramePreparation
from mer.media.contained import ContainedMedia
from mer.media.failures import failures_of
from mer.media.opening import MediaLimits
from mer.quality.measure import measure_quality
from mer.transcription.listen import with_transcripts

pytestmark = pytest.mark.slow

SPEECH = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny", pooling="mean")
CROPS = FeatureSpec(modality="visual", source="crops:", frames=FramePreparation(frames=2, size=32))

HOSTILE_WORKER = """
import os, sys
from mer.media import contained_worker
import cv2
def hostile(read):
    def call(path, **options):
        if path.stem == "hostile":
            {deed}
        return read(path, **options)
    return call
for name, read in list(contained_worker._READERS.items()):
    contained_worker._READERS[name] = hostile(read)
contained_worker.main()
"""

DEEDS = {
    "MemoryError": ("raise MemoryError", "too_large"),
    "OverflowError": ("raise OverflowError('too large to convert to C long')", "decoder_crashed"),
    "ValueError": ("raise ValueError('Invalid rate')", "decoder_crashed"),
    "cv2.error": ("raise cv2.error('assertion')", "decoder_crashed"),
    "SystemExit": ("os._exit(3)", "decoder_crashed"),
    "SIGSEGV": (f"os.kill(os.getpid(), {signal.SIGSEGV.value})", "decoder_crashed"),
    "SIGABRT": (f"os.kill(os.getpid(), {signal.SIGABRT.value})", "decoder_crashed"),
    "memory for ever": ("x = []\n            while True: x.append(bytes(1 << 24))", "too_large"),
    "rubbish for an answer": (
        "os.write(3, b'x' * 100); os.write(4, b'x' * 100); os._exit(0)",
        "decoder_crashed",
    ),
    "a loop without an end": ("while True: pass", "timed_out"),
}


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """A clip, one by the name of hostile, and another clip; all sound."""
    generator = np.random.default_rng(0)
    made = []
    for name in ("first", "hostile", "last"):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, generator.standard_normal(16_000) * 0.1, 16_000)
        made.append(Clip(content=name, name=name, path=path, corpus_root=tmp_path))
    return made


@pytest.fixture
def megahertz(clips: list[Clip]) -> list[Clip]:
    """The hostile one says that it has 260 MHz."""
    content = bytearray(clips[1].path.read_bytes() + bytes(200_000))
    content[24:28] = (260_000_000).to_bytes(4, "little")
    clips[1].path.write_bytes(content)
    return clips


@pytest.fixture
def hostile(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ContainedMedia]:
    """Workers to which a file called hostile does the deed."""
    (tmp_path / "hostile_worker.py").write_text(HOSTILE_WORKER.format(deed=request.param))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr("mer.media.contained._MODULE", "hostile_worker")
    with ContainedMedia(limits=MediaLimits(timeout_seconds=0.5)) as media:
        monkeypatch.setattr("mer.features.clip_media.shared_media", lambda: media)
        yield media


@pytest.mark.parametrize(("hostile", "reason"), list(DEEDS.values()), ids=list(DEEDS), indirect=["hostile"])
def test_whatever_happens_to_a_decoder_is_its_clips_reason(
    clips: list[Clip], weights_cache: Path, hostile: ContainedMedia, reason: str
) -> None:
    features = extract_clips(build_extractor(SPEECH, weights_cache), clips)
    assert [feature.present for feature in features] == [True, False, True]
    assert features[1].flags == (reason,)
    assert not features[1].transient


def test_a_rate_of_260_megahertz_costs_its_clip_only(megahertz: list[Clip], weights_cache: Path) -> None:
    speech, crops = extract_clips_of_each(build_extractors((SPEECH, CROPS), weights_cache), megahertz)
    assert [feature.present for feature in speech] == [True, False, True]
    assert (speech[1].flags, crops[1].flags) == (("bad_sample_rate",), ("no_usable_stream",))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OverflowError("C long"),
        ValueError("x"),
        cv2.error("x"),
        ZeroDivisionError(),
        OSError(5, "I/O"),
    ],
)
@pytest.mark.parametrize("by", ["reader", "extractor"])
def test_what_fails_in_this_process_is_the_clips_reason_too(
    clips: list[Clip], weights_cache: Path, error: Exception, by: str
) -> None:
    """While it is prepared (a face detector over odd pictures), or in an extractor of somebody else."""

    def fail(whole: Callable[..., object], clip: Clip, *arguments: object) -> object:
        if clip.name == "hostile":
            raise error
        return whole(*arguments)

    if by == "reader":
        several = build_extractors((SPEECH,), weights_cache)
        prepare = several.readers[0].prepare
        several.readers[0].prepare = lambda media: fail(prepare, media.clip, media)  # type: ignore[method-assign]
        (features,) = extract_clips_of_each(several, clips)
    else:
        features = extract_clips(_Failing(error), clips)
    assert [feature.present for feature in features] == [True, False, True]
    assert features[1].transient == isinstance(error, MemoryError)


class _Failing:
    spec = SPEECH

    def __init__(self, error: Exception) -> None:
        self._error = error

    def extract(self, clip: Clip) -> ClipFeature:
        if clip.name == "hostile":
            raise self._error
        return ClipFeature(np.ones((1, 4), np.float32), present=True)

    def absent(self, *flags: str) -> ClipFeature:
        return masked(np.ones((1, 4), np.float32), flags)


def test_errors_of_ours_that_concern_every_clip_are_raised() -> None:
    with pytest.raises(WeightsError), failures_of("a"):
        raise WeightsError("no weights")


def test_the_library_reads_the_others(megahertz: list[Clip], tmp_path: Path) -> None:
    found = mer.extract([clip.path for clip in megahertz], "wheel:moonshine-tiny", cache=tmp_path / "weights")
    assert found.present.tolist() == [True, False, True]
    assert found.flags[1] == ("bad_sample_rate",)


def test_quality_is_measured_of_the_others(megahertz: list[Clip]) -> None:
    reasons = []
    for clip in megahertz:
        try:
            measure_quality(clip.path)
            reasons.append(None)
        except MediaError as error:
            reasons.append(error.reason)
    assert reasons == [None, QuarantineReason.BAD_SAMPLE_RATE, None]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("onnx"), ValueError("x")])
def test_quality_survives_its_detector(
    clips: list[Clip], shared_data: Path, error: Exception, tmp_path: Path
) -> None:
    class Hostile:
        def detect(self, picture: np.ndarray) -> list[object]:
            raise error

    from made_media import make_film

    with pytest.raises(MediaError, match="clip"):
        measure_quality(make_film(tmp_path / "clip.mp4", 1.0), Hostile())  # type: ignore[arg-type]


class _Recogniser:
    """Says how long it listened; fails over a clip of two seconds."""

    def transcribe(self, waveform: np.ndarray) -> str:
        if waveform.size == 32_000:
            raise RuntimeError("onnx")
        return str(waveform.size)


def test_transcription_goes_on(
    megahertz: list[Clip], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    soundfile.write(tmp_path / "first.wav", np.zeros(32_000), 16_000)
    with caplog.at_level(logging.WARNING):
        heard = with_transcripts(megahertz, _Recogniser())  # type: ignore[arg-type]
    assert [clip.transcript for clip in heard] == [None, "", "16000"]
    assert "260000000 Hz" in caplog.text


def test_a_batch_of_all_that_is_refused_between_two_clips(
    clips: list[Clip], tmp_path: Path, weights_cache: Path
) -> None:
    """Nothing ends the batch, nothing is present of what is refused as a whole."""
    folder = tmp_path / "refused"
    folder.mkdir()
    bad = [
        Clip(content=str(number), name=str(number), path=item.path, corpus_root=folder)
        for number, item in enumerate(write_refused(folder))
    ]
    both = extract_clips_of_each(build_extractors((SPEECH, CROPS), weights_cache), [clips[0], *bad, clips[2]])
    assert [column[0].present for column in both] == [column[-1].present for column in both] == [True, False]
    assert all(feature.flags for column in both for feature in column[1:-1] if not feature.present)
