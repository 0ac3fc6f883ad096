"""A folder as a table of clips, and paths or tables as clips that extractors read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import mer
from mer.errors import ConfigError, CorpusError
from mer.library.clip_files import clips_of, row_names

LABELS = """name,emotion,valence,speaker,transcript,split,fold
a,joy,-1.5,anna,"well, yes",train,0
b,sad,,ben,,test,
c,,,anna,hm,,
gone,sad,,ben,,,
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "talks"
    root.mkdir()
    for number, name in enumerate("abcd"):
        soundfile.write(root / f"{name}.wav", np.full(1600, 0.01 * (number + 1)), 16_000)
    (root / "labels.csv").write_text(LABELS)
    return root


def test_a_folder_is_a_table(corpus: Path) -> None:
    with pytest.warns(UserWarning, match="talks: 1 clips are left out, first gone"):
        table = mer.read_clips(corpus)
    assert table.columns.tolist() == [
        "name",
        "path",
        "emotion",
        "valence",
        "speaker",
        "transcript",
        "split",
        "fold",
    ]
    assert table.name.tolist() == ["a", "b", "c", "d"]
    assert table.emotion.isna().tolist() == [False, False, True, True]
    assert table.emotion[:2].tolist() == ["happy", "sad"]  # joy is happy
    assert table.split.tolist() == ["train", "test", "unlabelled", "unlabelled"]
    assert (
        table.fold[0] == 0
        and pd.isna(table.fold[1])
        and table.valence[0] == -1.5
        and np.isnan(table.valence[1])
    )
    assert table.attrs["format"] == "table" and "gone" in table.attrs["left_out"]
    assert all(Path(path).is_file() for path in table.path)


def test_emotions_are_a_set_or_a_list(corpus: Path) -> None:
    with pytest.warns(UserWarning, match="left out"):
        table = mer.read_clips(str(corpus), emotions=["joy", "sad"])
    assert table.emotion[0] == "joy" and table.attrs["emotions"] == ["joy", "sad"]
    with pytest.raises(
        ConfigError, match="emotions: expected one of auto, mer, ravdess, or a list of names, found 'merr'"
    ):
        mer.read_clips(corpus, emotions="merr")
    for wrong in (3, [1, 2]):
        with pytest.raises(
            ConfigError, match="emotions: expected one of auto, mer, ravdess, or a list of names, found"
        ):
            mer.read_clips(corpus, emotions=wrong)  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="labels outside the emotion set"):
        mer.read_clips(corpus, emotions=["calm", "tense"])
    with pytest.raises(CorpusError, match="expected a corpus folder"):
        mer.read_clips(corpus / "nothing")


def test_a_table_knows_names_and_transcripts(corpus: Path) -> None:
    with pytest.warns(UserWarning, match="left out"):
        table = mer.read_clips(corpus)
    clips = clips_of(table[table.speaker == "anna"])
    assert [(clip.name, clip.transcript) for clip in clips] == [("a", "well, yes"), ("c", "hm")]
    assert clips[0].corpus_root == corpus and len(clips[0].content) == 64


def test_paths_are_clips_and_equal_names_are_told_apart(corpus: Path) -> None:
    (corpus / "deep").mkdir()
    (corpus / "deep" / "a.wav").write_bytes((corpus / "a.wav").read_bytes())
    clips = clips_of([corpus / "a.wav", str(corpus / "b.wav"), corpus / "deep" / "a.wav"])
    assert row_names(clips) == ["a/0", "b", "a/2"]
    for root, value in ((corpus, 1.0), (corpus / "deep", 2.0)):
        (root / "features" / "units").mkdir(parents=True)
        np.save(root / "features" / "units" / "a.npy", np.full(3, value))
    files = [corpus / "a.wav", corpus / "deep" / "a.wav"]
    units = mer.extract(files, "files:units", modality="visual")
    assert units.names == ("a/0", "a/1") and units.flags == ((), ())
    assert units.values[:, 0].tolist() == [1.0, 2.0], "each has the features of its own folder"
    assert clips[0].content == clips[2].content and clips[0].transcript is None
    assert clips_of(corpus / "a.wav")[0].name == "a"


def test_what_is_no_clip_says_what_was_expected(corpus: Path) -> None:
    for clips, message in (
        ([], "at least one file, found none"),
        ([corpus / "x.wav", corpus / "a.wav"], r"expected files, found 1 paths without one, first .*x.wav"),
        (
            [np.zeros(3)],
            r"expected paths of media files, or a table of mer.read_clips, found ndarray of shape \(3,\)",
        ),
        (3, "expected paths of media files"),
        (
            pd.DataFrame({"file": ["a.wav"]}),
            r"expected a table with a column `path`, found columns \['file'\]",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            clips_of(clips)


def test_the_labels_are_the_classes(corpus: Path) -> None:
    (corpus / "labels.csv").write_text(
        "file,label,val\na.wav,Calm,1\nb.wav,calm,9\nc.wav,tense,5\nd.wav,tense,7\n"
    )
    table = mer.read_clips(corpus, emotions="auto", valence_scale=(1, 9))
    assert table.attrs["emotions"] == ["calm", "tense"] and table.emotion.tolist() == [
        "calm",
        "calm",
        "tense",
        "tense",
    ]
    assert table.valence.tolist() == [-5, 5, 0, 2.5]
