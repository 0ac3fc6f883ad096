"""`mer audit` of a corpus with media, of a list, and of what is neither."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
from typer.testing import CliRunner

from flows.cli import app
from mer.audit.fingerprints import RATE


def corpus(root: Path, planted: bool) -> Path:
    """Eight clips of four speakers in two folds; planted: one clip of fold 1 is a quieter copy of one of fold 0."""
    (root / "audio").mkdir(parents=True)
    rows, sounds = ["name,emotion,speaker,fold"], []
    for row in range(8):
        generator = np.random.default_rng(row)
        sound = np.cumsum(generator.normal(size=3 * RATE)) * np.repeat(generator.random(48), RATE // 16)
        sounds.append(np.diff(sound, prepend=0).astype(np.float32) * 0.1)
        if planted and row == 7:
            sounds[7] = 0.3 * sounds[0][4096:]
        soundfile.write(root / "audio" / f"c{row}.wav", sounds[row], RATE)
        rows.append(f"c{row},{('happy', 'sad')[row // 4]},s{row % 4},{row % 4 // 2}")
    (root / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


def test_a_clean_corpus_and_a_planted_copy(tmp_path: Path) -> None:
    clean = CliRunner().invoke(app, ["audit", str(corpus(tmp_path / "clean", False)), "--emotions", "auto"])
    assert clean.exit_code == 0 and "nothing is shared" in clean.output, clean.output
    found = tmp_path / "found.json"
    folder = str(corpus(tmp_path / "planted", True))
    told = CliRunner().invoke(app, ["audit", folder, "--emotions", "auto", "--json", str(found)])
    assert told.exit_code == 3 and "the same sound is learnt from" in told.output, told.output
    kinds = {finding["kind"] for finding in json.loads(found.read_text(encoding="utf-8"))["findings"]}
    assert kinds == {"near_content"}
    lists = CliRunner().invoke(app, ["audit", folder, "--emotions", "auto", "--lists-only"])
    assert lists.exit_code == 0 and "no sound was read" in lists.output


def test_a_list_and_another_protocol(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "clean", False)
    folds = tmp_path / "folds.csv"
    folds.write_text("name,fold\n" + "\n".join(f"c{row},{row % 2}" for row in range(8)), encoding="utf-8")
    assert (
        CliRunner().invoke(app, ["audit", str(folder), "--emotions", "auto", "--folds", str(folds)]).exit_code
        == 0
    )
    folds.write_text("name,fold\n" + "\n".join(f"c{row},{row // 4}" for row in range(8)), encoding="utf-8")
    told = CliRunner().invoke(app, ["audit", str(folder), "--emotions", "auto", "--folds", str(folds)])
    assert told.exit_code == 3 and "speakers are heard in training as well: 4 of 4 test clips" in told.output
    alone = CliRunner().invoke(app, ["audit", str(folder / "labels.csv")])
    assert alone.exit_code == 0 and "8 clips, fold 0, fold 1" in alone.output
    assert (
        CliRunner().invoke(app, ["audit", str(folder), "--folds", str(tmp_path / "absent.csv")]).exit_code
        == 2
    )
    assert CliRunner().invoke(app, ["audit"]).exit_code == 2
