"""A new speaker's own clips before the others are answered: through registered versions, real files and the request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mer.domain.speakers import fit_speakers
from mer.domain.training_domain import TrainingDomain
from mer.errors import ConfigError
from mer.examples import Examples
from mer.predictor.package import DOMAIN_FOLDER, FUSION_FOLDER, ModelPackage
from mer.recipes import Recipe
from mer.stream_tables import FeatureTable
from mer.systems.kinds import FitData, FitRun, fit_system
from tasks.serve.prediction import Answers, PredictionRequest, answer
from tasks.stage.workspace import Workspace, workspace

EMOTIONS, SPEAKERS, OF_EACH = ("angry", "sad"), 12, 20
APART = 1.5
"""Deviation of the speakers along what tells the classes apart, which lie 2 from each other."""


def clips_of(place: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 4) features of one speaker's clips, and their (count,) classes."""
    rng = np.random.default_rng(seed)
    emotion = np.arange(count) % 2
    values = rng.normal(scale=0.5, size=(count, 4))
    values[:, 0] += place + 2 * emotion
    return values.astype(np.float32), emotion


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Two versions of a logistic regression; the second does not know how speakers differ. And a folder of a new speaker."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    made = workspace()
    places = APART * np.random.default_rng(5).normal(size=SPEAKERS)
    parts = [clips_of(place, OF_EACH, seed) for seed, place in enumerate(places)]
    values, emotion = (np.concatenate(part) for part in zip(*parts, strict=True))
    ids = tuple(f"c{row}" for row in range(len(values)))
    everyone = np.ones(len(ids), bool)
    speakers = tuple(f"s{row // OF_EACH}" for row in range(len(ids)))
    tables = {"visual": FeatureTable(ids, values, everyone)}
    examples = Examples(
        ids, emotion, np.full(len(ids), np.nan, np.float32), speakers, np.zeros(len(ids), int),
        np.ones(len(ids), np.float32),
    )  # fmt: skip
    data = FitData({"states": tables}, examples, everyone, ~everyone, EMOTIONS)
    system = fit_system("linear", data, {"inverse_penalty": 1.0}, FitRun())
    features = {"modality": "visual", "source": "files:clip-UTT"}
    recipe = Recipe.model_validate(
        {
            "name": "enrolled",
            "emotions": EMOTIONS,
            "label_shift": "off",
            "streams": {"visual": {"features": features}},
        }
    )
    for number in (1, 2):
        folder = tmp_path / f"package{number}"
        ModelPackage(recipe=recipe, system="fused", domain=DOMAIN_FOLDER).write(folder)
        system.save(folder / FUSION_FOLDER)
        TrainingDomain("states", {}, (0.5, 0.5), None).save(folder / DOMAIN_FOLDER)
        if number == 1:
            fit_speakers({"states": tables}, speakers).save(folder / DOMAIN_FOLDER)
        files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
        ref = made.artifacts.commit("model", str(number) * 64, files, meta={})
        made.catalogue.add_model_version(
            "enrolled", ref, evaluation=None, snapshot=None, metrics={}, idempotency_key=str(number)
        )
    for name, count, seed in (("asked", 40, 100), ("own", 10, 101)):
        folder = tmp_path / name / "features/clip-UTT"
        folder.mkdir(parents=True)
        for row, one in enumerate(clips_of(6.0, count, seed)[0]):
            np.save(folder / f"n{row:02d}.npy", one)
    return made


def asked(tmp_path: Path, *own: str, version: int = 1) -> Answers:
    paths = [str(tmp_path / "asked")]
    return answer(
        PredictionRequest(
            paths, "", "enrolled", version, speaker_clips=[str(tmp_path / name) for name in own]
        )
    )


def accuracy(answers: Answers) -> float:
    return float(np.mean([row.discrete == EMOTIONS[number % 2] for number, row in enumerate(answers.rows)]))


def test_ten_clips_without_labels_put_the_answers_right(space: Workspace, tmp_path: Path) -> None:
    plain, enrolled = asked(tmp_path), asked(tmp_path, "own")
    assert accuracy(plain) == 0.5, "he lies beyond all of one class"
    assert accuracy(enrolled) > 0.7
    assert plain.report.speaker == ""
    changed = sum(one.discrete != two.discrete for one, two in zip(plain.rows, enrolled.rows, strict=True))
    line = enrolled.report.speaker
    assert line.startswith(
        f"speaker: 10 clips read, {changed} of 40 answers are others than without them (angry 0.0% -> "
    )
    assert line in enrolled.report.summary


def test_a_version_that_does_not_know_how_speakers_differ_says_so(space: Workspace, tmp_path: Path) -> None:
    assert accuracy(asked(tmp_path, version=2)) == 0.5
    with pytest.raises(ConfigError, match=r"a model of at least 4 known training speakers.*mer run"):
        asked(tmp_path, "own", version=2)
