"""Predictions of real media: what was there of every clip, and what is odd about it, at both levels and through an ensemble."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mer.clips import Clip
from mer.demo.clip_file import write_clip
from mer.demo.config import DemoConfig
from mer.demo.corpus import render_clip
from mer.demo.plan import plan_corpus
from mer.ensemble.ensemble import Ensemble
from mer.examples import Examples
from mer.predictor.loaded import LoadedParts
from mer.predictor.package import ModelPackage, ServedStream
from mer.predictor.predictor import Predictor
from mer.predictor.reading import BatchReading
from mer.recipes import Recipe
from mer.stream_tables import Level
from mer.systems.kinds import FitData, fit_system

pytestmark = pytest.mark.slow
EMOTIONS = ("angry", "happy", "sad")
STREAMS: dict[str, dict[str, Any]] = {
    "voice": {
        "modality": "acoustic",
        "features": {
            "source": "wheel:moonshine-tiny", "layers": "all", "pooling": "mean", "audio": {"max_seconds": 4.0}
        },
    },
    "face": {
        "modality": "visual",
        "features": {"source": "seed:clip-tiny", "frames": {"frames": 2, "size": 64, "detector": "haar"}},
    },
    "words": {"modality": "lexical", "features": {"source": "wheel:all-minilm-l6-v2", "pooling": "mean"}},
}  # fmt: skip
MEMBERS: dict[str, Level] = {"vectors": "utterance", "frames": "frames"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    """Drawn faces that speak, and clips that lack something."""
    folder = tmp_path_factory.mktemp("clips")
    config = DemoConfig(clips=12)
    made: dict[str, Clip] = {}

    def clip(name: str, suffix: str, transcript: str | None) -> Path:
        path = folder / f"{name}{suffix}"
        made[name] = Clip(name=name, content=name, path=path, corpus_root=folder, transcript=transcript)
        return path

    for number, plan in enumerate([plan for plan in plan_corpus(config) if plan.broken is None][:3]):
        frames, waveform, rate = render_clip(plan, config)
        write_clip(
            clip(f"whole{number}", ".mp4", plan.transcript), frames, config.frames_per_second, waveform, rate
        )
    black = np.zeros_like(frames)
    write_clip(clip("faceless", ".mp4", "I am glad"), black, config.frames_per_second, waveform, rate)
    write_clip(clip("mute", ".mp4", "I am sad"), frames, config.frames_per_second, None, rate)
    write_clip(clip("wordless", ".mp4", None), frames, config.frames_per_second, waveform, rate)
    soundfile.write(clip("long", ".wav", "and so on"), np.tile(waveform, 9)[: 9 * rate], rate)
    soundfile.write(clip("short", ".wav", "ah"), waveform[:80], rate)
    soundfile.write(clip("silent", ".wav", ""), np.zeros(rate, np.float32), rate)
    return made


@pytest.fixture(scope="module")
def predictor(clips: dict[str, Clip], tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """An ensemble of a member of vectors and one of frames, trained on the clips themselves."""
    folder = tmp_path_factory.mktemp("package")
    recipe = Recipe.model_validate(
        {"name": "real", "emotions": EMOTIONS, "streams": STREAMS}
        | {"ensemble": {"members": {"vectors": {}, "frames": {"level": "frames"}}}}
    )
    rule = Ensemble("uniform", tuple(MEMBERS), dict.fromkeys(MEMBERS, 1.0), ())
    record = ModelPackage(
        recipe=recipe, streams={"voice": ServedStream(read_layer=2)}, system="ensemble", ensemble=rule
    )
    record.write(folder)
    everyone = list(clips.values())
    reading = BatchReading(LoadedParts(record, folder, folder / "weights"), everyone)
    count = len(everyone)
    examples = Examples(
        tuple(clips), np.arange(count) % 3, np.linspace(-9, 9, count).astype(np.float32), (None,) * count,
        np.zeros(count, np.int64), np.ones(count, np.float32),
    )  # fmt: skip
    for name, level in MEMBERS.items():
        tables = {level: reading.streams(level)}
        data = FitData(tables, examples, np.ones(count, bool), np.zeros(count, bool), EMOTIONS)
        options = {"hidden": 8, "epochs": 40, "level": level, "learning_rate": 0.01, "dropout": 0.0}
        fit_system("neural", data, options).save(folder / record.fusion_folders[name])
    return Predictor(folder, folder / "weights", version=7)


EVERYTHING = ("voice", "face", "words")
EXPECTED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{f"whole{number}": (EVERYTHING, ()) for number in range(3)},
    "faceless": (("voice", "words"), ("no_face", "blank")),
    "mute": (("face", "words"), ("no_audio",)),
    "wordless": (("voice", "face"), ("no_transcript",)),
    "long": (("voice", "words"), ("cut",)),
    "short": (("words",), ("too_short", "no_speech")),
    "silent": ((), ("no_transcript", "no_speech")),
}


def test_predictions_say_what_was_there_and_what_is_odd(predictor: Predictor, clips: dict[str, Clip]) -> None:
    assert set(predictor.system.levels) == {"utterance", "frames"}
    everyone = list(clips.values())
    predictions = predictor.predict(everyone, batch_clips=5)
    assert [row.name for row in predictions] == list(EXPECTED)
    for row in predictions:
        modalities, flags = EXPECTED[row.name]
        assert row.modalities == modalities, row.name
        assert set(flags) <= set(row.flags), (row.name, row.flags)
        assert (row.status, row.model, row.version) == ("ok", "real", 7)
        assert list(row.probabilities) == list(EMOTIONS)
        assert row.path == str(clips[row.name].path)
    # drawn faces are not always seen by a detector of photographs
    assert all(set(row.flags) <= {"no_face", "several_faces"} for row in predictions[:3])
    raw = predictor.scores(everyone).valence
    assert raw.max() > 5, "no valence lies beyond the labels' range"
    read = np.array([bool(row.modalities) for row in predictions])
    valence = np.array([row.valence for row in predictions], dtype=np.float64)
    np.testing.assert_allclose(valence[read], np.clip(raw, -5, 5)[read], atol=1e-5)
    assert abs(valence[~read]).max() <= 5 / 4, "valence of a clip of which nothing was read"
    again = predictor.predict(list(reversed(everyone)), batch_clips=64)
    for one, other in zip(reversed(again), predictions, strict=True):
        assert (one.modalities, one.flags) == (other.modalities, other.flags), "evidence of other clips"


def test_answers_under_other_priors_keep_their_valence(predictor: Predictor, clips: dict[str, Clip]) -> None:
    """The class, its confidence and all probabilities are those after the correction."""
    everyone = list(clips.values())[:4]
    scores = predictor.scores(everyone)
    corrected = scores.logits + np.array([0.0, 30.0, 0.0])
    plain, moved = predictor.answers(everyone, scores), predictor.answers(everyone, scores, corrected)
    assert {row.discrete for row in moved} == {"happy"} != {row.discrete for row in plain}
    assert all(row.confidence == row.probabilities["happy"] > 0.99 for row in moved)
    assert [(row.valence, row.flags) for row in moved] == [(row.valence, row.flags) for row in plain]


def test_explanations_are_of_the_streams_that_were_there(
    predictor: Predictor, clips: dict[str, Clip]
) -> None:
    everyone = list(clips.values())
    explained, predictions = predictor.explain(everyone), predictor.predict(everyone)
    sure = [bool(row.modalities) for row in predictions]
    np.testing.assert_allclose(
        explained.confidence[sure], [row.confidence for row in predictions if row.modalities], atol=1e-5
    )
    lost = explained.confidence_lost
    assert lost is not None and set(lost.streams) == {"acoustic/voice", "visual/face", "lexical/words"}
    for row, prediction in enumerate(predictions):
        for column, stream in enumerate(lost.streams):
            assert stream.partition("/")[2] in prediction.modalities or lost.values[row, column] == 0


def test_an_unreadable_clip_among_others_is_answered_by_nothing(
    predictor: Predictor, clips: dict[str, Clip], tmp_path: Path
) -> None:
    """Media that fail only while they are read are masked: what is left of the clip, here nothing, is what it says."""
    gone = replace(clips["silent"], name="gone", path=tmp_path / "gone.wav", content="gone")
    (row, other) = predictor.predict([gone, clips["wordless"]])
    assert row.modalities == () and "missing_media" in row.flags
    assert other.modalities == ("voice", "face")
