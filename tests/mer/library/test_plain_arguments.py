"""Public functions below the library say what they expected of plain arrays, masks, lengths and names of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mer.errors import ConfigError
from mer.evaluation.calibration import fit_temperature
from mer.evaluation.intervals import bootstrap_interval
from mer.evaluation.metrics import confusion, valence_mse
from mer.examples import Examples
from mer.fusion.config import FusionConfig
from mer.fusion.fit import fit_fusion, predict_fusion
from mer.layer_study.config import LayerStudyConfig
from mer.layer_study.study import study_layers
from mer.posteriors import Posteriors
from mer.stream_tables import FeatureTable
from mer.training.folds import inner_validation

N = 20
IDS = tuple(map(str, range(N)))
LABELS, WHO = np.arange(N) % 2, ("a", "b") * (N // 2)
EXAMPLES = Examples(IDS, LABELS, np.zeros(N, np.float32), WHO, np.zeros(N, int), np.ones(N, np.float32))
PLAIN = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
TABLE = FeatureTable(IDS, PLAIN, np.ones(N, dtype=bool))
TRAIN = np.arange(N) < 14
STATES = np.zeros((N, 3, 2), dtype=np.float32)


def fit(features: Any, train: Any = TRAIN, validation: Any = ~TRAIN) -> Any:
    config = FusionConfig(epochs=1, hidden=4)
    return fit_fusion(features, EXAMPLES, train, validation, ("x", "y"), config)


def study(states: Any, labels: Any = LABELS, speakers: Any = WHO) -> Any:
    return study_layers(states, labels, speakers, LayerStudyConfig(resamples=100))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(PLAIN), r"expected a mapping of stream names to feature tables, found ndarray .*mer.Fusion"),
        (lambda: fit(TABLE), "expected a mapping of stream names to feature tables, found FeatureTable"),
        (lambda: fit({"a": PLAIN}), r"stream a: expected a FeatureTable or RaggedTable .* found ndarray of shape \(20, 3\)"),
        (lambda: fit({"a": TABLE}, np.arange(14)), "expected train as a mask of 20 bools, one per clip, found int64"),
        (lambda: fit({"a": TABLE}, TRAIN, ~TRAIN[:5]), r"expected validation as a mask of 20 bools, one per clip, found bool"),
        (lambda: predict_fusion(fit({"a": TABLE}), PLAIN), "expected a mapping of stream names"),  # type: ignore[arg-type]
        (lambda: predict_fusion(fit({"a": TABLE}), {"a": PLAIN}), "stream a: expected a FeatureTable"),  # type: ignore[dict-item]
        (lambda: predict_fusion(fit({"a": TABLE}), {}), "at least one stream, found none"),
        (lambda: study(STATES.tolist()[0]), r"expected \(clips, hidden states, width\), found \(3, 2\)"),
        (lambda: study(STATES, LABELS[:5]), "a label and a speaker for each of 20 clips, found 5 labels and 20 speakers"),
        (lambda: study(STATES, LABELS, WHO[:5]), "found 20 labels and 5 speakers"),
        (lambda: study(STATES, np.array(WHO)), "class indices .*, found <U1; .*mer.study_layers"),
        (lambda: bootstrap_interval(LABELS, LABELS, WHO[:5], 2), "expected 20 speakers, one per clip, found 5"),
        (lambda: confusion(np.array(WHO), np.array(WHO), 2), "class indices .*, found values of type <U1; .*mer.score"),
        (lambda: fit_temperature(PLAIN, LABELS[:5]), "a label for each of 20 rows of logits, found 5"),
        (lambda: valence_mse(np.zeros(3), np.zeros(4)), r"as many predictions as values, found \(4,\), \(3,\)"),
        (lambda: inner_validation(WHO, IDS, LABELS, TRAIN[:5], 0.2, 1), "expected 20 of each, .* a mask of 5"),
        (lambda: Posteriors(("a",), [[0, 1]], np.zeros(1)), "expected logits as an array, found list"),  # type: ignore[arg-type]
        (lambda: Examples(("a",), [0], [0], ("a",), [0], [1]), "expected emotion as an array, found list"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_it_says_what_was_expected(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()
