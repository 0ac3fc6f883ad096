"""What is found out about clips beyond their corpus' table: what was said in them, and how good they are."""

from __future__ import annotations

import shutil
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.emotions import MER_EMOTIONS
from mer.encoders.weight_files import wheel_folder
from mer.media.audio import decode_audio
from mer.quality import measure
from mer.quality.filters import QualityFilter
from mer.recipes.loading import parse_recipe
from tasks.data.dataset import load_examples, snapshot_dataset
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.data.quality import measure_shard, plan_quality
from tasks.data.transcription import plan_transcription, transcribe_shard
from tasks.stage.references import SnapshotPlan
from tasks.stage.workspace import Workspace, workspace

RECIPE = """
name: columns
lexical:
  features: {modality: lexical, source: "wheel:all-minilm-l6-v2", recogniser: "wheel:moonshine-tiny"}
folds: {count: 2, use_published: false}
"""


def write_wav(path: Path, waveform: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes((waveform * 32_000).astype(np.int16).tobytes())


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Four pieces of a real recording, one of them with a transcript, and two clips in which nobody speaks."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    recording = wheel_folder("moonshine_voice", "moonshine-voice") / "assets" / "two_cities.wav"
    speech = decode_audio(recording, max_seconds=20.0)
    root = tmp_path / "corpus"
    for number in range(4):
        write_wav(root / f"speech{number}.wav", speech[number * 64_000 : (number + 1) * 64_000])
    generator = np.random.default_rng(0)
    for number in range(2):
        write_wav(root / f"noise{number}.wav", generator.normal(0, 0.003, 48_000))
    rows = [
        "speech0,happy,a,It was the best of times.,train",
        "speech1,sad,b,,train",
        "speech2,happy,b,,train",
        "speech3,sad,a,,train",
        "noise0,happy,a,,train",
        "noise1,sad,c,,test",
    ]
    (root / "labels.csv").write_text("name,emotion,speaker,transcript,split\n" + "\n".join(rows) + "\n")
    listing = list_corpus.fn(str(root), "c", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("c", listing.fresh, True))
    return workspace()


@pytest.mark.slow
def test_what_the_corpus_does_not_tell_is_heard(space: Workspace) -> None:
    (recogniser,) = parse_recipe(RECIPE, origin="test").recognisers
    shards = plan_transcription.fn("c", recogniser, 3)
    assert sorted(map(len, shards)) == [2, 3]
    for shard in shards:
        transcribe_shard.fn("c", recogniser, shard)
    assert not plan_transcription.fn("c", recogniser, 3), "nothing is heard twice"
    texts = {row.name: row.transcript for row in space.catalogue.clips("c", recogniser)}
    assert texts["speech0"] == "It was the best of times."
    heard = " ".join(texts[f"speech{number}"] or "" for number in (1, 2, 3)).lower()
    assert "wisdom" in heard or "foolishness" in heard or "belief" in heard
    assert all(row.transcript is None for row in space.catalogue.clips("c") if row.name != "speech0")


@pytest.mark.slow
def test_equal_clips_are_heard_and_measured_once(space: Workspace) -> None:
    root = space.catalogue.corpus_root("c")
    shutil.copy(root / "speech1.wav", root / "again.wav")
    shutil.copy(
        root / "speech0.wav", root / "told.wav"
    )  # of the same content the corpus tells what is said in one
    listing = list_corpus.fn(str(root), "c", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("c", listing.fresh, True))
    recogniser = "wheel:moonshine-tiny"
    shards = plan_transcription.fn("c", recogniser, 100)
    assert [sorted(shard) for shard in shards] == [
        ["again", "noise0", "noise1", "speech2", "speech3", "told"]
    ]
    assert [len(shard) for shard in plan_quality.fn("c", 100)] == [6]
    for name in ("again", "told"):
        transcribe_shard.fn("c", recogniser, [name])
    texts = {row.name: row.transcript for row in space.catalogue.clips("c", recogniser)}
    assert texts["again"] == texts["speech1"] is not None
    assert texts["speech0"] == "It was the best of times." != texts["told"]
    assert measure_shard.fn("c", ["again"]) == 1
    assert [len(shard) for shard in plan_quality.fn("c", 100)] == [5]


def test_a_clip_of_impossible_measurements_stays_unmeasured(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def measured(path: Path, *arguments: Any, **options: Any) -> measure.ClipQuality:
        quality = measure_quality(path, *arguments, **options)
        return replace(quality, face_share=1.5) if path.stem == "speech1" else quality

    measure_quality = measure.measure_quality
    monkeypatch.setattr(measure, "measure_quality", measured)
    (shard,) = plan_quality.fn("c", 10)
    assert measure_shard.fn("c", shard) == 5
    assert "clip 'speech1' stays unmeasured" in caplog.text
    (again,) = plan_quality.fn("c", 10)
    assert [row.name for row in space.catalogue.clips("c") if row.name in again] == ["speech1"]


def test_clips_of_bad_quality_leave_training_and_never_the_holdout(space: Workspace) -> None:
    root = space.catalogue.corpus_root("c")
    table = root / "labels.csv"
    for number, emotion in enumerate(("happy", "sad"), 4):
        shutil.copy(root / f"speech{number - 4}.wav", root / f"speech{number}.wav")
        table.write_text(table.read_text() + f"speech{number},{emotion},c,,train\n")
    listing = list_corpus.fn(str(root), "c", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("c", listing.fresh, True))
    (shard,) = plan_quality.fn("c", 10)
    assert measure_shard.fn("c", shard) == 6
    assert not plan_quality.fn("c", 10), "nothing is measured twice"
    recipe = parse_recipe(RECIPE, origin="test")
    strict = recipe.model_copy(update={"quality": QualityFilter(min_speech_seconds=0.5)})
    whole, kept = (snapshot_dataset.fn("c", SnapshotPlan.of(one)) for one in (recipe, strict))
    assert (whole.clips, kept.clips) == (8, 7)
    examples, holdout, *_ = load_examples(space, kept)
    assert "noise0" not in examples.clip_ids
    assert [c for c, held in zip(examples.clip_ids, holdout, strict=True) if held] == ["noise1"]
