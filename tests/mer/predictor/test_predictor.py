"""A package in memory answers as its parts were evaluated: one fusion, or the members of an ensemble combined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mer.clips import Clip
from mer.ensemble.config import Weighting
from mer.ensemble.ensemble import fit_ensemble
from mer.ensemble.valence import ValenceLabels
from mer.examples import Examples
from mer.features.dataset import FeatureTable
from mer.fusion.config import FusionConfig
from mer.fusion.fit import fit_fusion, predict_fusion
from mer.fusion.fitted import FittedFusion, save_fusion
from mer.names import STORED
from mer.posteriors import Posteriors
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.predictor.predictor import Predictor
from mer.recipes import Recipe
from mer.recipes.ensemble import EnsembleConfig

CLIPS, CLASSES = 60, ("angry", "happy", "sad")
RECORD = Path(__file__).parent / "package_before_ensembles.json"
"""As version 0.1.0 wrote it before ensembles were served; its recipe has an ensemble that was scored only."""


@pytest.fixture(scope="module")
def tables() -> dict[str, FeatureTable]:
    generator = np.random.default_rng(2)
    emotion = np.arange(CLIPS) % 3
    ids = tuple(f"id{i}" for i in range(CLIPS))
    return {
        name: FeatureTable(
            ids,
            (generator.normal(0, 1, (CLIPS, width)) + np.eye(3, width)[emotion]).astype(np.float32),
            np.ones(CLIPS, dtype=bool),
        )
        for name, width in (("acoustic", 6), ("visual", 4))
    }


@pytest.fixture(scope="module")
def clips(tables: dict[str, FeatureTable], tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """The same features as files of a corpus."""
    root = tmp_path_factory.mktemp("corpus")
    for folder, stream in (("speech", "acoustic"), ("face", "visual")):
        (root / "features" / folder).mkdir(parents=True)
        for row in range(CLIPS):
            np.save(root / "features" / folder / f"c{row}.npy", tables[stream].values[row])
    return [
        Clip(content=f"id{i}", name=f"c{i}", path=root / f"c{i}.wav", corpus_root=root) for i in range(CLIPS)
    ]


def recipe(**more: object) -> Recipe:
    source = {"acoustic": "files:speech", "visual": "files:face"}
    streams = {name: {"features": {"modality": name, "source": where}} for name, where in source.items()}
    return Recipe.model_validate({"name": "made", "emotions": CLASSES, **streams, **more}, context=STORED)


def fitted(tables: Mapping[str, FeatureTable], **options: object) -> FittedFusion:
    emotion = np.arange(CLIPS) % 3
    examples = Examples(
        tables["visual"].clip_ids,
        emotion,
        (emotion - 1).astype(np.float32),
        (None,) * CLIPS,
        np.zeros(CLIPS, dtype=np.int64),
        np.ones(CLIPS, dtype=np.float32),
    )
    train = np.arange(CLIPS) < 40
    config = FusionConfig.model_validate({"hidden": 8, "epochs": 4, **options})
    return fit_fusion(tables, examples, train, ~train, CLASSES, config)


def package(folder: Path, record: ModelPackage, fusions: Mapping[str, FittedFusion]) -> Predictor:
    record.write(folder)
    for name, where in record.fusion_folders.items():
        (folder / where).mkdir(parents=True)
        save_fusion(folder / where, fusions[name])
    return Predictor(folder, folder / "weights")


@pytest.mark.parametrize("weighting", ["uniform", "entropy", "stacked", "log_pool"])
def test_an_ensemble_answers_as_its_combination_was_evaluated(
    weighting: Weighting, tables: dict[str, FeatureTable], clips: list[Clip], tmp_path: Path
) -> None:
    # names that are no file names, as older packages may have; one member left out, another one counted twice
    options = {"S1: early": {"model": "early"}, "S2/b": {"model": "attention"}, "..": {"seed": 9}}
    members = {name: fitted(tables, **own) for name, own in options.items()}
    posteriors = {name: predict_fusion(own, tables) for name, own in members.items()}
    ensemble = fit_ensemble(
        posteriors,
        np.arange(CLIPS) % 3,
        EnsembleConfig.model_validate(
            {"members": options, "weighting": weighting, "calibrate_valence": True}, context=STORED
        ),
        ValenceLabels(np.arange(CLIPS) % 3 - np.linspace(0, 1.7, CLIPS), np.array([-1.0, 0.1, 0.7])),
    )
    assert ensemble.class_valence and ensemble.member_valence_share < 1
    counted = (".." if weighting == "stacked" else "S1: early", "S1: early", "S2/b")
    weights = (0.5, 0.2, 0.3) if weighting == "stacked" else ()
    ensemble = replace(ensemble, members=counted, weights=weights)
    evaluated = ensemble.combine(posteriors)
    record = ModelPackage(
        recipe=recipe(ensemble={"members": options}), system="ensemble", temperature=1.5, ensemble=ensemble
    )
    predictor = package(tmp_path / "package", record, members)
    answered = predictor.posteriors(clips)
    np.testing.assert_array_equal(answered.logits, evaluated.logits)
    np.testing.assert_array_equal(answered.valence, evaluated.valence)
    sure = predictor.predict(clips, batch_clips=7)
    wanted = evaluated.probabilities(1.5)
    np.testing.assert_allclose([one.confidence for one in sure], wanted.max(axis=1), atol=1e-6)
    assert [one.discrete for one in sure] == [CLASSES[i] for i in evaluated.predicted]
    uncalibrated = replace(ensemble, class_valence=()).combine(posteriors)
    assert not np.allclose(evaluated.valence, uncalibrated.valence), "valence is not calibrated"
    assert not np.allclose(evaluated.logits, posteriors["S1: early"].logits), "the combination is one member"


def test_a_package_of_one_fusion_from_before_ensembles_were_served(
    tables: dict[str, FeatureTable], clips: list[Clip], tmp_path: Path
) -> None:
    alone = fitted(tables)
    folder = tmp_path / "package"
    (folder / FUSION_FOLDER).mkdir(parents=True)
    (folder / "package.json").write_bytes(RECORD.read_bytes())
    save_fusion(folder / FUSION_FOLDER, alone)
    predictor = Predictor(folder, folder / "weights")
    assert (predictor.package.ensemble, predictor.package.system) == (None, "fused")
    np.testing.assert_array_equal(predictor.posteriors(clips).logits, predict_fusion(alone, tables).logits)


def test_streams_that_the_fusion_does_not_read_are_not_needed(
    tables: dict[str, FeatureTable], clips: list[Clip], tmp_path: Path
) -> None:
    seen = {"visual": tables["visual"]}
    alone = fitted(seen)
    record = ModelPackage(recipe=recipe(fused_streams=["visual"]), system="fused")
    predictor = package(tmp_path / "package", record, {"fused": alone})
    evaluated: Posteriors = predict_fusion(alone, seen)
    np.testing.assert_array_equal(predictor.posteriors(clips).logits, evaluated.logits)
