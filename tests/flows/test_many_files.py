"""200 files by the real command line and a model of real encoders: 160 clips, 20 files to refuse, 20 to answer with a flag."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hostile_media import write_answered, write_refused

from mer.clips import Clip
from mer.demo import DemoConfig, generate_demo
from mer.examples import Examples
from mer.media.sniff import printable
from mer.prediction_files import from_json, read_predictions
from mer.predictor.loaded import LoadedParts
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.predictor.reading import BatchReading
from mer.recipes import Recipe
from mer.systems.kinds import FitData, fit_system
from tasks.stage.workspace import Workspace, workspace

pytestmark = pytest.mark.slow
EMOTIONS = ("angry", "happy", "sad")
STREAMS = {
    "voice": {"modality": "acoustic", "features": {"source": "wheel:moonshine-tiny", "pooling": "mean"}},
    "face": {
        "modality": "visual",
        "features": {"source": "seed:clip-tiny", "frames": {"frames": 2, "size": 64, "detector": "haar"}},
    },
}
CLIPS, EACH = 160, 20
MOST_SECONDS, MOST_BYTES = 30.0, 1 << 30
"""Of one bad file."""


def register(space: Workspace, clips: list[Clip], folder: Path) -> None:
    """A champion that is fitted to these clips, by sound and faces."""
    recipe = Recipe.model_validate({"name": "small", "emotions": EMOTIONS, "streams": STREAMS})
    record = ModelPackage(recipe=recipe, system="fused")
    record.write(folder)
    tables = BatchReading(LoadedParts(record, folder, space.weights), clips).streams("utterance")
    count, everyone = len(clips), np.ones(len(clips), bool)
    examples = Examples(
        tuple(clip.name for clip in clips), np.arange(count) % 3, np.zeros(count, np.float32), (None,) * count,
        np.zeros(count, np.int64), np.ones(count, np.float32),
    )  # fmt: skip
    data = FitData({"utterance": tables}, examples, everyone, ~everyone, EMOTIONS)  # type: ignore[arg-type]
    fit_system("neural", data, {"hidden": 8, "epochs": 3}).save(folder / FUSION_FOLDER)
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    ref = space.artifacts.commit("model", "0" * 64, files, meta={})
    space.catalogue.add_model_version("small", ref, evaluation=ref, metrics={}, idempotency_key="only")
    space.catalogue.set_alias("small", "champion", 1, "the first")


def test_two_hundred_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    made = sorted(generate_demo(tmp_path / "demo", DemoConfig(clips=12, broken=0)).rglob("*.mp4"))
    clips = [Clip(name=path.stem, content=path.stem, path=path, corpus_root=path.parent) for path in made]
    register(workspace(), clips, tmp_path / "package")
    folder = tmp_path / "files"
    folder.mkdir()
    refused, odd = write_refused(folder), write_answered(folder)
    refused_here = [*refused[:10], *refused[-10:]]
    odd_here = [*odd[:7], *odd[-13:]]
    for item in {item.path for item in (*refused, *odd)} - {item.path for item in (*refused_here, *odd_here)}:
        item.unlink()
    for number in range(CLIPS):
        shutil.copy(made[number % len(made)], folder / f"clip_{number:03d}.mp4")
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "predict", str(folder), "--json", "--out", str(tmp_path / "x.csv")],
        capture_output=True, env={**os.environ, "MER_COMPUTE_THREADS": "1"}, timeout=900, check=False,
    )  # fmt: skip
    seconds, said = time.monotonic() - started, done.stderr.decode()
    assert done.returncode == 3, said[-3000:]
    assert "Traceback" not in said
    answered = from_json(done.stdout.decode())
    rows = {Path(row.path).name: row for row in answered}
    assert len(answered) == len(rows) == CLIPS + 2 * EACH == len(read_predictions(tmp_path / "x.csv"))
    assert len({row.name.casefold() for row in answered}) == len(answered)
    wrong = {
        item.path.name: row.status
        for item in refused_here
        if (row := rows[printable(item.path.name)]).status not in item.reasons
    }
    assert len(refused_here) == EACH and wrong == {}
    unflagged = {
        printable(item.path.name): (row.status, row.flags)
        for item in odd_here
        if not (row := rows[printable(item.path.name)]).answered or not item.flags & set(row.flags)
    }
    assert len(odd_here) == EACH and unflagged == {}
    assert sum(row.answered for row in answered) == CLIPS + EACH
    plain = [row for name, row in rows.items() if name.startswith("clip_")]
    assert all(set(row.modalities) == {"voice", "face"} and "no_speech" not in row.flags for row in plain)
    assert f"and {EACH - 10} more" in said, "the list on standard error is not bounded"
    assert seconds < EACH * MOST_SECONDS
    # the command itself holds torch and the encoders; a worker has 1 GiB beside its libraries
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < 2 * MOST_BYTES
