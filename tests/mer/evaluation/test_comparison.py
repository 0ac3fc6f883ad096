"""Two models on the clips both were scored on."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from mer.errors import ConfigError
from mer.evaluation.comparison import compare, labelled
from mer.posteriors import Posteriors

CLIPS, CLASSES = 120, 3


def model(predicted: np.ndarray, names: list[str]) -> Posteriors:
    logits = np.eye(CLASSES, dtype=np.float32)[predicted]
    return Posteriors(tuple(names), logits, np.zeros(len(names), np.float32))


@pytest.fixture
def corpus() -> tuple[np.ndarray, list[str], dict[str, str | None]]:
    truth = np.random.default_rng(1).integers(0, CLASSES, CLIPS)
    names = [f"c{row:03d}" for row in range(CLIPS)]
    return truth, names, {name: f"s{row % 10}" for row, name in enumerate(names)}


def test_scores_are_those_of_the_common_labelled_clips(
    corpus: tuple[np.ndarray, list[str], dict[str, str | None]],
) -> None:
    truth, names, speakers = corpus
    generator = np.random.default_rng(2)
    first, second = (np.where(generator.random(CLIPS) < p, truth, (truth + 1) % 3) for p in (0.9, 0.6))
    known = {name: int(label) for name, label in zip(names[10:], truth[10:], strict=True)}
    shuffled = generator.permutation(CLIPS - 20)  # the second model predicted fewer clips, in another order
    found = compare(
        model(first, names), model(second[shuffled], [names[i] for i in shuffled]), known, speakers, CLASSES
    )
    rows = slice(10, CLIPS - 20)
    assert (found.clips, found.groups) == (CLIPS - 30, 10)
    scores = {row.name: row for row in found.scores}
    for name, naive in (
        ("WAF", lambda t, p: f1_score(t, p, average="weighted")),
        ("accuracy", accuracy_score),
        ("macro-F1", lambda t, p: f1_score(t, p, average="macro")),
        ("mean recall", lambda t, p: recall_score(t, p, average="macro")),
    ):
        assert scores[name].first == pytest.approx(naive(truth[rows], first[rows]))
        assert scores[name].second == pytest.approx(naive(truth[rows], second[rows]))
        assert scores[name].difference == pytest.approx(scores[name].first - scores[name].second)
        assert 0 < scores[name].low < scores[name].difference < scores[name].high


def test_a_model_does_not_differ_from_itself(
    corpus: tuple[np.ndarray, list[str], dict[str, str | None]],
) -> None:
    truth, names, speakers = corpus
    own = model(truth, names)
    found = compare(own, own, dict(zip(names, truth.tolist(), strict=True)), speakers, CLASSES)
    assert {(row.difference, row.low, row.high) for row in found.scores} == {(0.0, 0.0, 0.0)}


def test_models_without_common_clips_are_not_compared(
    corpus: tuple[np.ndarray, list[str], dict[str, str | None]],
) -> None:
    truth, names, speakers = corpus
    known = dict(zip(names, truth.tolist(), strict=True))
    halves = model(truth[:60], names[:60]), model(truth[60:], names[60:])
    with pytest.raises(ConfigError, match="found 0; models of different corpora"):
        compare(*halves, known, speakers, CLASSES)
    assert labelled(["a", "b", "c"], ["happy", None, "odd"], ["sad", "happy"]) == {"a": 1}
