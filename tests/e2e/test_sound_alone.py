"""A corpus of sound alone, under a recipe that reads pictures and texts too: the model is made of what there is."""

from __future__ import annotations

import csv
import wave
from pathlib import Path

import numpy as np
import pytest
from e2e_installation import TINY, Installation

from mer.errors import MediaError
from mer.media.audio import decode_audio

pytestmark = pytest.mark.slow
RATE = 16_000


def sound_of(corpus: Path, root: Path) -> Path:
    """The labelled clips of a corpus as .wav, without their texts."""
    root.mkdir()
    with (corpus / "labels.csv").open(newline="", encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["emotion"] and row["split"] != "test"]
    lines = ["name,emotion,speaker"]
    for row in rows:
        name = row["name"]
        try:
            samples = decode_audio(next(corpus.rglob(f"{name}.mp4")), sample_rate=RATE)
        except MediaError:  # the demo corpus has broken files
            continue
        with wave.open(str(root / f"{name}.wav"), "wb") as out:
            out.setparams((1, 2, RATE, len(samples), "NONE", ""))
            out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        lines.append(f"{name},{row['emotion']},{row['speaker']}")
    (root / "labels.csv").write_text("\n".join(lines))
    return root


@pytest.mark.nightly
def test_streams_that_no_clip_has_are_left_out(
    installation: Installation, demo_corpus: Path, tmp_path: Path
) -> None:
    root = sound_of(demo_corpus, tmp_path / "sound")
    clips = len(list(root.glob("*.wav")))
    done = installation.mer("run", "--recipe", str(TINY), "--corpus", str(root), "--name", "sound")
    said = " ".join(done.stdout.split())
    assert f"stream visual is left out of the model: none of {clips} clips has it" in said
    assert f"stream lexical is left out of the model: none of {clips} clips has it" in said
    assert "[3/8] layer study of acoustic" in said and "alignment of visual" not in said
    assert "[6/8] pseudo-labels no unlabelled clip to learn from" in said
    assert "0 target clips" not in said
    assert "masked (no_usable_stream)" not in done.stdout + done.stderr
    answered = installation.mer("predict", str(next(root.glob("*.wav"))), "--model", "sound", "--jsonl")
    assert "no_usable_stream" not in answered.stdout + answered.stderr
