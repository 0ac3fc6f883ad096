"""Ingestion and prediction of one folder give the same clips, and the same reasons for files that are none."""

from __future__ import annotations

import os
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_model import register_small

from infra.catalogue import Catalogue
from mer.clips import Clip
from mer.errors import CorpusError
from mer.media.suffixes import MEDIA_SUFFIXES
from mer.prediction_files import read_predictions
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.serve.predicted_media import Catalogued, read_media
from tasks.serve.prediction import PredictionRequest, predict_files
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def sound(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(16_000)
        noise = np.random.default_rng(seed).normal(0, 3000, 8000)
        stream.writeframes(noise.astype(np.int16).tobytes())


def every_suffix(root: Path) -> None:
    for number, suffix in enumerate(sorted(MEDIA_SUFFIXES)):
        sound(root / f"clip{number}{suffix}", number)
        sound(root / f"big{number}{suffix.upper()}", number)


def other_suffixes(root: Path) -> None:
    for name in ("a.wav", "notes.md", "b.srt", "c.mp4.part", "d", "e.jpg", "a.txt"):
        sound(root / name)


def hidden_files(root: Path) -> None:
    for name in ("x.mp4", "._x.mp4", ".y.wav", ".cache/z.wav", "__MACOSX/x.mp4"):
        sound(root / name)


def ugly_names(root: Path) -> None:
    for number, name in enumerate(
        (
            "-i.mp4",
            "a;b$(id).mp4",
            "=1+1.wav",
            "\U0001f600.wav",
            "a b.wav",
            "new\nline.wav",
            "caf\u00e9.wav",
            f"{'l' * 240}.wav",
        )
    ):
        sound(root / name, number)
    sound(Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.wav")), 9)


def links(root: Path) -> None:
    sound(root / "real.wav")
    sound(root.parent / "outside.wav", 1)
    (root / "inside.wav").symlink_to(root / "real.wav")
    (root / "outside.wav").symlink_to(root.parent / "outside.wav")
    (root / "system.mp4").symlink_to("/etc/hostname")
    (root / "broken.wav").symlink_to(root / "nowhere.wav")
    (root / "loop.wav").symlink_to(root / "loop.wav")
    (root / "folder").symlink_to(root.parent)


def no_regular_files(root: Path) -> None:
    sound(root / "a.wav")
    os.mkfifo(root / "pipe.wav")
    (root / "folder.mp4").mkdir()


def broken_files(root: Path) -> None:
    sound(root / "good.wav")
    (root / "empty.wav").touch()
    (root / "text.mp4").write_text("a note\n" * 40)
    (root / "list.mp4").write_text("#EXTM3U\nhttp://example.org/x.ts\n")


def equal_stems(root: Path) -> None:
    for number, name in enumerate(
        (
            "a/x.wav",
            "b/x.wav",
            "b/y.wav",
            "b/y.mp4",
            "video/z.mp4",
            "audio/z.wav",
            "b/w.mov",
            "b/w.avi",
            "b/w.wav",
        )
    ):
        sound(root / name, number)


def features_alone(root: Path) -> None:
    for name in ("one", "two"):
        path = root / "features" / "speech" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.ones(3, np.float32) * len(name))


def features_beside_media(root: Path) -> None:
    features_alone(root)
    sound(root / "one.wav")
    sound(root / "features/speech/no_clip.wav")
    sound(root / "openface_face/no_clip.wav")


FOLDERS = (
    every_suffix, other_suffixes, hidden_files, ugly_names, links, no_regular_files, broken_files, equal_stems,
    features_alone, features_beside_media,
)  # fmt: skip


def ingested(catalogue: Catalogue, root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Clips by path, and reasons by name."""
    listing = list_corpus.fn(str(root), "corpus", ("angry", "happy"))
    write_labels.fn(listing, ("angry", "happy"), probe_shard.fn("corpus", listing.fresh, False))
    clips = {str(row.path): row.name for row in catalogue.clips("corpus")}
    return clips, {item.name: item.reason for item in catalogue.quarantined("corpus")}


@pytest.mark.parametrize("make", FOLDERS)
def test_one_folder(make: Callable[[Path], None], space: Workspace, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    make(root)
    read = read_media([str(root)], Catalogued(space))
    predicted = {str(medium.path): medium.name for medium in read.media if isinstance(medium, Clip)}
    reasons = {medium.name: medium.reason.value for medium in read.unusable}
    clips, quarantined = ingested(space.catalogue, root)
    assert len(clips) + len(quarantined) > 0
    assert predicted == clips
    assert reasons == quarantined
    again = read_media([str(root)], Catalogued(space))
    assert {str(medium.path): medium.name for medium in again.clips} == clips, "once it is catalogued"


def test_a_file_is_tried_whatever_its_name(space: Workspace, tmp_path: Path) -> None:
    for name in ("._x.mp4", "sound.bin", "named"):
        sound(tmp_path / name)
    (tmp_path / "link.wav").symlink_to(tmp_path / "named")
    asked = [str(tmp_path / name) for name in ("._x.mp4", "sound.bin", "named", "link.wav", "gone.wav")]
    read = read_media([*asked, asked[0]], Catalogued(space))
    assert [clip.path.name for clip in read.clips] == ["._x.mp4", "sound.bin", "named", "link.wav"]
    assert [(item.path.name, item.reason.value) for item in read.unusable] == [("gone.wav", "missing_media")]


def test_what_is_passed_over_is_said(space: Workspace, tmp_path: Path) -> None:
    root = tmp_path / "root"
    equal_stems(root)
    (root / "link").symlink_to(root / "a")
    notes = "\n".join(read_media([str(root)], Catalogued(space)).notes)
    assert (
        notes.count("not read, because another file of the same clip is") == 1
        and "another form" not in notes
        and "link is a link: not followed" in notes
    )


def test_an_empty_folder_is_one_line(space: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.csv").touch()
    with pytest.raises(CorpusError, match=r"expected media files in .*empty, found none$"):
        read_media([str(tmp_path / "empty")], Catalogued(space))
    sound(tmp_path / "x.wav")
    read = read_media([str(tmp_path / "x.wav"), str(tmp_path / "empty")], Catalogued(space))
    assert len(read.clips) == 1 and read.notes == (f"{tmp_path / 'empty'}: no media files",)


def test_clips_of_features_alone_are_answered(space: Workspace, tmp_path: Path) -> None:
    root = tmp_path / "root"
    features_alone(root)
    register_small(space, tmp_path / "package")
    report = predict_files(PredictionRequest([str(root)], str(tmp_path / "x.csv")))
    rows = read_predictions(tmp_path / "x.csv")
    assert (report.predicted, report.unusable) == (2, ())
    assert [(row.name, row.modalities) for row in rows] == [("one", ("acoustic",)), ("two", ("acoustic",))]
