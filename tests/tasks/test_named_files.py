"""Files that an event names: catalogued alone, under the name that whole ingestion gives them, and completed by it."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from mer.emotions import MER_EMOTIONS
from mer.errors import CorpusError
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.data.named_files import catalogue_files
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


@pytest.fixture
def corpus(tmp_path: Path, space: Workspace) -> Path:
    root = tmp_path / "corpus"
    for number in range(4):
        sound(root / f"clip{number}.wav", number)
    (root / "labels.csv").write_text("name,emotion\nclip0,happy\nclip1,sad\n")
    ingest(root)
    return root


def sound(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(
            np.random.default_rng(seed).integers(-9_000, 9_000, 1_600).astype(np.int16).tobytes()
        )
    return path


def ingest(root: Path) -> None:
    listing = list_corpus.fn(str(root), "corpus", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("corpus", listing.fresh, True))


def test_a_new_file_is_catalogued_as_whole_ingestion_would(
    corpus: Path, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = sound(corpus / "more" / "late.wav", 9)
    monkeypatch.setattr(
        "mer.corpora.recognise", lambda *_, **__: pytest.fail("the corpus is read as a whole")
    )
    report = catalogue_files.fn("corpus", [str(new)], True)
    assert (report.files, report.accepted, report.known, report.quarantined) == (1, 1, 0, {})
    before = space.catalogue.clips("corpus")
    assert [row.name for row in before] == ["clip0", "clip1", "clip2", "clip3", "late"]
    assert before[-1].split == "unlabelled" and before[-1].emotion is None
    assert catalogue_files.fn("corpus", [str(new)], True).known == 1, "twice changes nothing"
    monkeypatch.undo()
    monkeypatch.setenv("MER_HOME", str(space.settings.home))
    ingest(corpus)
    assert space.catalogue.clips("corpus") == before


def test_the_table_labels_it_the_next_time(corpus: Path, space: Workspace) -> None:
    new = sound(corpus / "late.wav", 9)
    catalogue_files.fn("corpus", [str(new)], True)
    with (corpus / "labels.csv").open("a") as table:
        table.write("late,angry\n")
    ingest(corpus)
    (row,) = space.catalogue.clips("corpus", only=["late"])
    assert row.emotion == "angry"


def test_every_file_is_accounted_for(corpus: Path, space: Workspace, tmp_path: Path) -> None:
    broken = corpus / "broken.wav"
    broken.write_bytes(b"no sound" * 99)
    outside, hidden = sound(tmp_path / "outside.wav", 3), sound(corpus / ".hidden.wav", 4)
    link = corpus / "link.wav"
    link.symlink_to(outside)
    files = [broken, outside, hidden, link, corpus / "clip0.wav", corpus / "labels.csv"]
    report = catalogue_files.fn("corpus", [str(path) for path in files], True)
    assert report.known == 1 and report.accepted == 0
    assert sum(report.quarantined.values()) == 2 and "outside_root" in report.quarantined
    assert set(report.ignored) == {str(outside), str(hidden), str(corpus / "labels.csv")}


def test_a_name_that_another_clip_has_is_made_of_the_path(corpus: Path, space: Workspace) -> None:
    new = sound(corpus / "more" / "clip0.wav", 9)
    catalogue_files.fn("corpus", [str(new)], True)
    assert "more__clip0" in {row.name for row in space.catalogue.clips("corpus")}
    twice = sound(corpus / "more__clip0.wav", 10)
    with pytest.raises(CorpusError, match="rename"):
        catalogue_files.fn("corpus", [str(twice)], True)


def test_a_changed_file_keeps_what_the_table_said_of_it(corpus: Path, space: Workspace) -> None:
    (before,) = space.catalogue.clips("corpus", only=["clip0"])
    sound(corpus / "clip0.wav", 77)
    assert catalogue_files.fn("corpus", [str(corpus / "clip0.wav")], True).accepted == 1
    (after,) = space.catalogue.clips("corpus", only=["clip0"])
    assert after.content != before.content and (after.emotion, after.split) == ("happy", before.split)
