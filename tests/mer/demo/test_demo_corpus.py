from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mer.clips import Split
from mer.corpora import recognise
from mer.demo import DemoConfig, generate_demo
from mer.demo.clip_file import loudness_curve
from mer.demo.corpus import render_clip
from mer.demo.plan import plan_corpus
from mer.emotions import MER_EMOTIONS
from mer.errors import CorpusError, MediaError, QuarantineReason
from mer.media.audio import decode_audio
from mer.media.frames import sample_frames
from mer.media.probe import probe, require_streams
from mer.whole_files import temporary_name

SMALL = DemoConfig(clips=14, speakers=4, seed=3, frames_per_second=8)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_demo(tmp_path_factory.mktemp("demo") / "corpus", SMALL)


def hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_it_is_recognised_like_anybodys_corpus(demo: Path) -> None:
    found = recognise(demo, emotions=MER_EMOTIONS)
    assert (found.format, len(found.entries), found.left_out) == ("table", 14, ())
    for entry in found.entries:
        assert (entry.emotion is None) == (entry.valence is None) == (entry.split is Split.UNLABELLED)
        assert entry.speaker and entry.transcript
    assert {entry.split for entry in found.entries} == set(Split) - {Split.CANARY}


def test_clips_are_real_and_four_are_broken_each_in_its_way(demo: Path) -> None:
    reasons = []
    for entry in recognise(demo, emotions=MER_EMOTIONS).entries:
        try:
            found = probe(entry.media)
            require_streams(found, audio=True, video=True)
        except MediaError as error:
            reasons.append(error.reason)
            continue
        assert (found.video_codec, found.audio_codec, found.container) == ("h264", "aac", "mov")
        assert (found.width, found.height) == (160, 160)
        assert found.fps == pytest.approx(8, rel=0.01)
        assert 1.0 < found.duration_seconds < 4.5
        assert decode_audio(entry.media).size / 16_000 == pytest.approx(found.duration_seconds, abs=0.15)
        assert sample_frames(entry.media, 4).std() > 10
    assert sorted(reasons) == sorted(
        [
            QuarantineReason.EMPTY_FILE,
            QuarantineReason.NOT_MEDIA,
            QuarantineReason.TRUNCATED,
            QuarantineReason.NO_AUDIO,
        ]
    )


def test_the_second_call_makes_nothing(demo: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
    calls: list[tuple[int, int]] = []
    assert generate_demo(demo, SMALL, lambda done, total: calls.append((done, total))) == demo
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*")} == before
    assert calls == []


def test_equal_configs_give_equal_bytes_whatever_the_workers(demo: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    again = generate_demo(
        tmp_path / "again", SMALL, lambda done, total: calls.append((done, total)), workers=1
    )
    assert hashes(again) == hashes(demo)
    assert calls == [(done, 14) for done in range(1, 15)]


def test_an_interrupted_run_is_taken_up(demo: Path, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise Interrupted

    root = tmp_path / "corpus"
    with pytest.raises(Interrupted):
        generate_demo(root, SMALL, stop)
    assert not (root / "demo.json").exists()
    assert not (root / "labels.csv").exists()
    made = {path: path.stat().st_mtime_ns for path in (root / "video").glob("demo_*.mp4")}
    assert 5 <= len(made) < 14
    left = root / "video" / temporary_name("demo_0001.mp4")
    left.mkdir()
    (left / "demo_0001.mp4").write_bytes(b"left by a killed process")
    for path in (left / "demo_0001.mp4", left):
        os.utime(path, (0, 0))
    generate_demo(root, SMALL)
    assert {path: path.stat().st_mtime_ns for path in made} == made  # not made twice
    assert hashes(root) == hashes(demo)


def test_a_damaged_corpus_is_repaired_and_another_config_replaces_it(demo: Path, tmp_path: Path) -> None:
    root = generate_demo(tmp_path / "corpus", SMALL)
    (root / "video/demo_0003.mp4").unlink()
    generate_demo(root, SMALL)
    assert hashes(root) == hashes(demo)
    other = DemoConfig(clips=12, speakers=3, seed=4, picture_size=64, frames_per_second=5)
    generate_demo(root, other)
    assert len(list((root / "video").iterdir())) == 12
    assert hashes(root) == hashes(generate_demo(tmp_path / "fresh", other))


def test_a_folder_of_somebody_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("name,emotion\n")
    with pytest.raises(CorpusError, match="no demo corpus"):
        generate_demo(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


def test_labels_of_unlabelled_clips_are_in_the_truth_file_only(demo: Path) -> None:
    labels, truth = (
        {row["name"]: row for row in csv.DictReader((demo / table).read_text(encoding="utf-8").splitlines())}
        for table in ("labels.csv", "truth.csv")
    )
    assert labels.keys() == truth.keys()
    for name, row in labels.items():
        if row["split"] == "unlabelled":
            assert (row["emotion"], row["valence"]) == ("", "")
        else:
            assert row["emotion"] == truth[name]["emotion"]


def test_the_mouth_follows_the_voice() -> None:
    """Over a clip, the darkness of the mouth's region and the loudness of the speech move together."""
    correlations = []
    config = DemoConfig(clips=12)
    for plan in plan_corpus(config)[:4]:
        frames, waveform, rate = render_clip(replace(plan, face_shows="neutral"), config)
        loudness = loudness_curve(waveform, rate, config.frames_per_second)
        assert len(loudness) == len(frames)
        mouth = frames[:, 108:125, 70:90].astype(float).mean(axis=(1, 2, 3))
        correlations.append(np.corrcoef(-mouth, loudness)[0, 1])
    assert np.mean(correlations) > 0.4


def test_loudness_covers_the_whole_waveform_and_is_at_most_one() -> None:
    waveform = np.concatenate([np.zeros(800, np.float32), np.ones(850, np.float32)])
    curve = loudness_curve(waveform, 8_000, 10)
    assert curve.tolist() == [0.0, 1.0, 1.0]
    assert loudness_curve(np.zeros(10, np.float32), 8_000, 10).tolist() == [0.0]


@pytest.mark.slow
def test_audio_tells_more_than_text_and_text_more_than_the_face(tmp_path: Path) -> None:
    """Learnable, and in the promised order: simple features, logistic regression, speakers held out."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    config = DemoConfig(
        clips=360, unlabelled_share=0.0, test_share=0.0, broken=0, seed=8, frames_per_second=8
    )
    root = generate_demo(tmp_path / "corpus", config)
    entries = recognise(root, emotions=MER_EMOTIONS).entries
    truth = np.array([MER_EMOTIONS.index(entry.emotion or "") for entry in entries])
    speakers = [entry.speaker for entry in entries]
    audio = np.stack([_voice_facts(decode_audio(entry.media), entry.transcript or "") for entry in entries])
    text = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit_transform(
        [entry.transcript or "" for entry in entries]
    )
    face = np.stack([_gradients(sample_frames(entry.media, 6)) for entry in entries])
    accuracy = {}
    for name, features, strength in (
        ("audio", audio, 0.3),
        ("text", text.toarray(), 2.0),
        ("face", face, 0.005),
    ):
        model = make_pipeline(
            StandardScaler(with_std=name != "text"), LogisticRegression(C=strength, max_iter=3000)
        )
        predicted = cross_val_predict(model, features, truth, groups=speakers, cv=GroupKFold(5))
        accuracy[name] = float((predicted == truth).mean())
    chance = np.bincount(truth).max() / truth.size
    assert 0.95 > accuracy["audio"] > accuracy["text"] > accuracy["face"] > chance + 0.08, accuracy


def _voice_facts(waveform: np.ndarray, transcript: str) -> np.ndarray:
    """Pitch, tempo, loudness and spectral shape: about forty numbers."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 640)[::320]
    level = np.sqrt((frames**2).mean(axis=1))
    loud = frames[level > 0.3 * level.max()]
    spectrum = np.abs(np.fft.rfft(loud * np.hanning(640), 2048))
    correlation = np.fft.irfft(spectrum**2)[:, 40:240]
    pitch = np.log(16_000 / (40 + correlation.argmax(axis=1)))
    bands = np.log(spectrum[:, :1024].reshape(len(loud), 16, 64).mean(axis=2) + 1e-4)
    return np.concatenate(
        [
            [np.median(pitch), pitch.std(), *np.percentile(pitch, [10, 90])],
            [
                waveform.size / 16_000 / len(transcript),
                np.log(level.mean() + 1e-6),
                level.std() / level.mean(),
            ],
            bands.mean(axis=0),
            bands.std(axis=0),
        ]
    )


def _gradients(frames: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients, averaged over the frames: indifferent to skin and light."""
    import cv2

    describe = cv2.HOGDescriptor((64, 64), (16, 16), (16, 16), (8, 8), 9)
    small = [cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (64, 64)) for frame in frames]
    return np.mean([describe.compute(picture).ravel() for picture in small], axis=0)
