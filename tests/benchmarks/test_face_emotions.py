"""The benchmark of the face encoder: all of it runs, and the figure is that of the network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import face_emotions


@pytest.mark.slow
def test_all_of_it_runs(shared_data: Path, tmp_path: Path) -> None:
    faces = shared_data / "data/fer2013-private/faces.npz"
    if not faces.is_file():
        pytest.skip(f"{faces}: no FER2013 here")
    written = tmp_path / "figures.json"
    figures = face_emotions.main(["--quick", "--faces", str(faces), "--json", str(written)])
    assert json.loads(written.read_text()) == figures
    accuracy, low, high = (float(str(figures[f"accuracy{end}"])) for end in ("", "_low", "_high"))
    assert accuracy >= 0.62 and low < accuracy < high
    assert figures["parameters"] == 56951 and figures["faces"] == 449
    assert 0 < float(str(figures["milliseconds"])) < 100
