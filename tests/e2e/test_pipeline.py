"""From clips to a champion by one command; a second run finds everything done; the champion predicts."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest
from e2e_installation import CLIPS, Installation

from mer.demo import DemoConfig, generate_demo
from mer.prediction_files import read_predictions

pytestmark = pytest.mark.slow
BROKEN = {"empty_file": 1, "not_media": 1, "truncated": 1, "no_audio": 1}


def test_every_entry_is_accepted_or_quarantined_with_a_reason(finished: Installation) -> None:
    with finished.catalogue() as catalogue:
        reasons = [item.reason for item in catalogue.quarantined("tiny")]
        assert {reason: reasons.count(reason) for reason in reasons} == BROKEN
        assert len(catalogue.clips("tiny")) + len(reasons) >= CLIPS


def test_a_second_run_does_no_stage_again(finished: Installation) -> None:
    before = finished.results()
    again = finished.run()
    assert finished.results() == before
    assert "0 files read now" in again.stdout
    assert "shard" not in again.stdout, "features were extracted again"
    with finished.catalogue() as catalogue:
        assert len(catalogue.model_versions("tiny")) == 1


def test_the_model_predicts_clips(finished: Installation, tmp_path: Path) -> None:
    out = tmp_path / "predictions.csv"
    finished.mer("predict", str(finished.corpus), "--out", str(out), "--model", "tiny", "--version", "1")
    rows = read_predictions(out)
    answered = [row for row in rows if row.answered]
    assert len(answered) >= CLIPS - 4 and {row.status for row in rows if not row.answered} >= {"empty_file"}
    assert all(row.valence is not None and row.modalities and row.version == 1 for row in answered)
    header = out.read_text(encoding="utf-8").splitlines()[0].split(",")
    assert {"name", "discrete", "valence", "confidence"} < set(header)


def test_a_clip_may_get_several_classes_or_no_answer(finished: Installation, tmp_path: Path) -> None:
    out = tmp_path / "sets.csv"
    asked = ("--coverage", ".8", "--no-answer-on", "one_modality")
    told = finished.mer(
        "predict", str(finished.corpus), "--out", str(out), "--model", "tiny", "--version", "1", *asked
    )
    read = [row for row in read_predictions(out) if row.probabilities]
    assert all(row.prediction_set for row in read)
    assert {row.status for row in read if "one_modality" in row.flags} <= {"abstained"}
    assert ("no answer by policy" in told.stdout) == any(row.status == "abstained" for row in read)


def test_equal_files_are_answered_under_both_names(finished: Installation, tmp_path: Path) -> None:
    clip = sorted((finished.corpus / "video").glob("*.mp4"))[0]
    folder, out = tmp_path / "new", tmp_path / "predictions.csv"
    folder.mkdir()
    for name in ("one", "two"):
        shutil.copy(clip, folder / f"{name}.mp4")
    finished.mer("predict", str(folder), "--out", str(out), "--model", "tiny", "--version", "1")
    one, two = read_predictions(out)
    assert (one.name, two.name) == ("one", "two")
    assert one.model_copy(update={"name": "two", "path": two.path}) == two


def test_runs_are_tracked_under_one_parent(
    finished: Installation, mlflow_server: str, mlflow_auth: tuple[str, str]
) -> None:
    url = f"{mlflow_server}/api/2.0/mlflow/registered-models/search"
    answer = httpx.get(url, auth=mlflow_auth, timeout=30)
    found = answer.raise_for_status().json()
    assert "tiny" in [model["name"] for model in found["registered_models"]]


def test_new_unlabelled_clips_cost_work_only_for_themselves(
    finished: Installation, installation: Installation, tmp_path: Path
) -> None:
    """Growing a corpus by clips without labels keeps every shard and adapter, and extracts only the new clips."""
    grown = tmp_path / "corpus"
    shutil.copytree(finished.corpus, grown)
    more = generate_demo(tmp_path / "more", DemoConfig(clips=30, seed=77))
    mine = Installation(home=installation.home, corpus=grown, environment=installation.environment)
    mine.run()
    before = mine.results()
    for number, clip in enumerate(sorted((more / "video").glob("*.mp4"))[:3]):
        shutil.copy(clip, grown / "video" / f"late_{number}.mp4")
    mine.run()
    new = set(mine.results()) - set(before)
    assert not [key for kind, key in new if kind in ("adapter", "layer-study")]
    assert set(before) <= set(mine.results())
