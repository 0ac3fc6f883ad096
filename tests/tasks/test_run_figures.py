"""What a run keeps for its report, of real stages on precomputed vectors; and the report that is made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from alignment_corpus import RECIPE, write_corpus
from report_sources import ShownFigures, Sources, wrong_figures
from test_alignment_study import prepared

from mer.label_shift.config import LabelShiftConfig
from mer.predictor.package import RECORD, ModelPackage
from mer.recipes import Recipe
from mer.recipes.loading import parse_recipe
from mer.recipes.systems import scored_systems, served_name
from mer.report.page import render
from tasks.learn.alignment import align_view, embed_aligned
from tasks.learn.fusion import fuse_view
from tasks.report.build import collected, report_data
from tasks.report.run_figures import found_figures, run_figures
from tasks.report.run_results import (
    CURVES,
    DIFFERENCES,
    FILES,
    MAPS,
    P_HOLM,
    P_VALUE,
    SEARCH,
    WEIGHTS,
    RunResults,
)
from tasks.serve.evaluation import evaluate
from tasks.stage.references import (
    DatasetRef,
    FeatureSetRef,
    FusionJob,
    LearntStream,
    StreamInput,
    StreamInputs,
    StreamPair,
    View,
)
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.slow
FUSION = "fusion: {epochs: 3, hidden: 8}\n"
SEARCHED = "ensemble: {search: {inverse_penalties: [0.1], variants: false}}\n"


def view_inputs(recipe: Recipe, view: View, features: dict[str, FeatureSetRef]) -> StreamInputs:
    """The streams of a view, the face aligned to the voice."""
    inputs = {
        name: StreamInput(name, recipe.table_name(name), recipe.streams[name], features[name])
        for name in recipe.streams
    }
    aligned = align_view.fn(view, StreamPair(inputs["visual"], inputs["acoustic"]))
    embedded = embed_aligned.fn(view, inputs["visual"], aligned.ref, 64)
    learnt = LearntStream(alignment=aligned.ref, aligned=embedded)
    return inputs | {"visual": replace(inputs["visual"], learnt=learnt)}


def results_of(recipe: Recipe, dataset: DatasetRef, features: dict[str, FeatureSetRef]) -> RunResults:
    views = {name: View(dataset, name) for name in dataset.views}
    inputs = {name: view_inputs(recipe, view, features) for name, view in views.items()}
    fused = []
    for system in scored_systems(recipe):
        job = FusionJob(system.name, system.choice, whole=system.whole)
        for name, view in views.items():
            if not (system.scored_only and name == "final"):
                read = {stream: inputs[name][stream] for stream in system.streams}
                fused.append(fuse_view.fn(view, read, job))
    served = served_name(recipe)
    evaluation = evaluate.fn(views["final"], fused, served, LabelShiftConfig())
    return RunResults(views["final"], recipe, inputs, tuple(fused), served, evaluation.ref)


def plain_holm(p_values: list[float]) -> list[float]:
    """Holm's rule by its definition: the largest of the products up to one's own rank."""
    ranked = sorted(p_values)
    products = [min(1.0, (len(ranked) - rank) * value) for rank, value in enumerate(ranked)]
    return [max(products[: ranked.index(value) + 1]) for value in p_values]


@pytest.mark.parametrize(
    "options", [pytest.param(FUSION, marks=pytest.mark.nightly), SEARCHED], ids=["neural", "searched"]
)
def test_a_run_keeps_figures_and_the_report_shows_them(
    options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    recipe = parse_recipe(RECIPE + options, origin="vectors")
    dataset, features = prepared(write_corpus(tmp_path / "corpus"), recipe)
    results = results_of(recipe, dataset, features)
    kept = run_figures.fn(results)
    assert kept.ran and not run_figures.fn(results).ran
    space = workspace()
    assert set(space.artifacts.manifest(kept.ref).files) == set(FILES)
    files = {name: json.loads(space.artifacts.read(kept.ref, name)) for name in FILES}
    assert set(files[MAPS]["spaces"]) == {"what is read", "visual, aligned", "answers out of fold"}
    differences = files[DIFFERENCES]
    p_values = [row[P_VALUE] for row in differences]
    assert len(differences) > 1 and all(0 < value <= 1 for value in p_values)
    assert [row[P_HOLM] for row in differences] == pytest.approx(plain_holm(p_values))
    weights = files[WEIGHTS]
    assert weights["clips"] == 108 and set(weights["weight"]) <= {"acoustic", "visual", "visual/learnt"}
    assert any(value > 0 for value in weights["lost"].values()), "something rests on the streams"
    searched = options is SEARCHED
    assert bool(files[SEARCH]) is searched and ("fusion fused" in files[CURVES]) is not searched
    assert "alignment visual" in files[CURVES]

    report = json.loads(space.artifacts.read(results.evaluation, "report.json"))
    package = ModelPackage(recipe=recipe, system=results.served, temperature=report["temperature"])
    record = space.artifacts.commit("model", "a" * 64, {RECORD: package.model_dump_json().encode()})
    space.catalogue.add_model_version(
        "vectors",
        record,
        evaluation=results.evaluation,
        snapshot=dataset.membership,
        metrics={},
        idempotency_key="a",
    )
    row = space.catalogue.model_version("vectors", 1)
    assert found_figures(space, row.evaluation) == kept.ref
    page = render(report_data(collected(space, row)))
    assert wrong_figures(page, Sources(space, row, None)) == []
    assert len(ShownFigures(page).figures) > 150
