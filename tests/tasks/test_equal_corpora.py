"""Corpora with equal clips and labels share a snapshot and what is computed of it; what is said of a version names its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_sources import Sources, wrong_figures
from report_version import MadeUp, register_version

from flows.review import show_status
from infra.artifacts import ArtifactStore
from infra.catalogue import open_database
from infra.rebuild import rebuild
from infra.records import RecordingCatalogue, write_missing
from mer.report.page import render
from tasks.data.dataset import snapshot_dataset
from tasks.report.build import collected, report_data
from tasks.serve.library import model_of_corpus
from tasks.stage.references import SnapshotPlan
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Corpora `first` and `twin` with the same clips, each with a version of the model that is called as it."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    space = workspace()
    for name in ("first", "twin"):
        register_version(space, MadeUp(), name)
    return space


def test_reports_and_reviews_name_the_corpus_of_the_run(
    space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [space.catalogue.model_version(name, 1) for name in ("first", "twin")]
    assert rows[0].snapshot_id == rows[1].snapshot_id, "one snapshot"
    assert [space.catalogue.corpus_of(row) for row in rows] == ["first", "twin"]
    found = collected(space, rows[1])
    plan = SnapshotPlan.of(found.package.recipe)
    datasets = [snapshot_dataset.fn(name, plan) for name in ("first", "twin")]
    assert datasets[0].ref == datasets[1].ref, "what is computed is still shared"
    page = render(report_data(found))
    assert "Corpus twin:" in page and "--corpus /twin --name twin" in page
    assert "Corpus first" not in page and "/first" not in page
    assert wrong_figures(page, Sources(space, rows[1], None)) == []
    show_status("twin", 1)
    assert "nothing of corpus twin is reviewed yet" in capsys.readouterr().out


def test_a_recipe_named_model_is_taken_for_its_own_corpus_alone(space: Workspace) -> None:
    # a model that an early version called by the recipe, trained on the twin
    row = space.catalogue.model_version("twin", 1)
    space.catalogue.add_model_version(
        "made-up",
        row.artifact,
        evaluation=row.evaluation,
        snapshot=row.snapshot_id,
        metrics={},
        idempotency_key="made-up",
        origin={"recipe": "made-up", "corpus": "other"},
    )
    space.catalogue.upsert_corpus("other", "/other", "table", ("angry", "happy", "sad"))
    assert model_of_corpus("other", "made-up") == "made-up"
    assert model_of_corpus("elsewhere", "made-up") == "elsewhere"


def test_clips_that_a_shared_snapshot_has_stay_and_the_corpus_comes_back_with_the_version(
    space: Workspace, tmp_path: Path
) -> None:
    catalogue = space.catalogue
    catalogue.forget_files("twin", ["/twin/0.wav"])
    assert catalogue.remove_clips_without_file(dry_run=False) == 0, "a snapshot has it"

    store = space.artifacts.objects
    write_missing(catalogue, store)
    anew = RecordingCatalogue(open_database(f"sqlite:///{tmp_path / 'anew.db'}"), store)
    rebuild(anew, store, ArtifactStore(store, cache=tmp_path / "cache"), "store", lambda ref: ())
    assert {row.name for row in anew.corpora()} >= {"first", "twin"}
    assert anew.corpus_of(anew.model_version("twin", 1)) == "twin"
