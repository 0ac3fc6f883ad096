"""Folders that say what files are (`audio/`, `mp4/`) are neither speakers nor two clips of one; scales around 0 are noted."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_layouts import table, touch

from mer.corpora import recognise
from mer.emotions import MER_EMOTIONS

STEMS = {"Happy": ("c0", "c1"), "Sad": ("c2", "c3")}


@pytest.mark.parametrize("outside", [True, False], ids=["audio/Happy", "Happy/audio"])
@pytest.mark.parametrize(("sound", "film"), [("audio", "video"), ("WAV", "MP4")])
def test_sound_beside_film_is_one_clip_without_a_speaker(
    sound: str, film: str, outside: bool, tmp_path: Path
) -> None:
    for form, suffix in ((sound, "wav"), (film, "mp4")):
        for emotion, stems in STEMS.items():
            folder = f"{form}/{emotion}" if outside else f"{emotion}/{form}"
            touch(tmp_path, *(f"{folder}/{stem}.{suffix}" for stem in stems))
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.name: (entry.emotion, entry.speaker, entry.media.suffix) for entry in found.entries} == {
        stem: (emotion.lower(), None, ".mp4") for emotion, stems in STEMS.items() for stem in stems
    }


def test_people_beside_classes_are_speakers_still(tmp_path: Path) -> None:
    touch(tmp_path, *(f"data/{who}/{emotion}/{who}0.wav" for who in ("ann", "bob") for emotion in STEMS))
    found = recognise(tmp_path, emotions=MER_EMOTIONS)
    assert {entry.speaker for entry in found.entries} == {"ann", "bob"} and len(found.entries) == 4


@pytest.mark.parametrize(
    ("valences", "note"),
    [((-3, 2, 1), "--valence-scale -3..3"), ((-0.5, 1, 0), "--valence-scale -1..1"), ((-4, 2, 5), None)],
)
def test_a_scale_that_ours_holds_is_noted(
    valences: tuple[float, ...], note: str | None, tmp_path: Path
) -> None:
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    rows = [f"{name},{value}" for name, value in zip("abc", valences, strict=True)]
    table(tmp_path, "labels.csv", "name,valence\n" + "\n".join(rows) + "\n")
    notes = " ".join(recognise(tmp_path, emotions=MER_EMOTIONS).notes)
    assert ("--valence-scale" in notes) == (note is not None) and (note or "") in notes
