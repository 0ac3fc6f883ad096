from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from mer.ensemble.posteriors import Posteriors
from mer.errors import ConfigError
from mer.selftraining.selection import PseudoLabels, SelectionConfig, select_pseudo_labels

CLASSES = ("neutral", "angry", "happy")


def from_probabilities(rows: list[list[float]]) -> Posteriors:
    count = len(rows)
    logits = np.log(np.array(rows)).astype(np.float32)
    return Posteriors(tuple(f"c{i}" for i in range(count)), logits, np.arange(count, dtype=np.float32))


POSTERIORS = from_probabilities(
    [
        [0.95, 0.03, 0.02],
        [0.85, 0.10, 0.05],
        [0.02, 0.97, 0.01],
        [0.01, 0.98, 0.01],
        [0.05, 0.91, 0.04],
        [0.02, 0.05, 0.93],
    ]
)


def test_only_confident_predictions_that_are_not_excluded() -> None:
    config = SelectionConfig(threshold=0.9, cap_ratio=None)
    chosen = select_pseudo_labels(POSTERIORS, CLASSES, config, {"c5"})
    assert chosen.clip_ids == ("c0", "c3", "c2", "c4")
    assert chosen.emotion.tolist() == [0, 1, 1, 1]
    assert chosen.counts == {"neutral": 1, "angry": 3, "happy": 0}
    np.testing.assert_allclose(chosen.confidence, [0.95, 0.98, 0.97, 0.91], atol=1e-6)
    assert chosen.valence.tolist() == [0.0, 3.0, 2.0, 4.0]


def test_thresholds_by_class() -> None:
    config = SelectionConfig(threshold=0.9, class_thresholds={"neutral": 0.8, "angry": 0.975}, cap_ratio=None)
    assert select_pseudo_labels(POSTERIORS, CLASSES, config).clip_ids == ("c0", "c1", "c3", "c5")
    with pytest.raises(ConfigError, match="unknown classes"):
        select_pseudo_labels(POSTERIORS, CLASSES, SelectionConfig(class_thresholds={"joy": 0.9}))


def test_caps_keep_the_most_confident() -> None:
    capped = select_pseudo_labels(POSTERIORS, CLASSES, SelectionConfig(threshold=0.9, cap_per_class=2))
    assert capped.counts == {"neutral": 1, "angry": 2, "happy": 1} and capped.clip_ids[1:3] == ("c3", "c2")
    even = select_pseudo_labels(POSTERIORS, CLASSES, SelectionConfig(threshold=0.9, cap_ratio=1.0))
    assert set(even.counts.values()) == {1}


def test_a_temperature_makes_fewer_confident() -> None:
    config = SelectionConfig(threshold=0.9, temperature=2.0)
    assert select_pseudo_labels(POSTERIORS, CLASSES, config).clip_ids == ()


def test_the_order_of_rows_does_not_matter() -> None:
    backwards = POSTERIORS.restricted(POSTERIORS.clip_ids[::-1])
    config = SelectionConfig(threshold=0.8, cap_per_class=2)
    first, second = (select_pseudo_labels(p, CLASSES, config) for p in (POSTERIORS, backwards))
    assert first.clip_ids == second.clip_ids and first.to_parquet() == second.to_parquet()


@pytest.mark.parametrize("threshold", [0.9, 1.0])
def test_a_parquet_file_gives_it_back(threshold: float) -> None:
    chosen = select_pseudo_labels(POSTERIORS, CLASSES, SelectionConfig(threshold=threshold))
    again = PseudoLabels.from_parquet(chosen.to_parquet())
    assert again.clip_ids == chosen.clip_ids and again.counts == chosen.counts
    assert np.array_equal(again.emotion, chosen.emotion) and np.array_equal(
        again.confidence, chosen.confidence
    )


def test_misspelt_options_are_refused() -> None:
    with pytest.raises(ValidationError, match="treshold"):
        SelectionConfig.model_validate({"treshold": 0.9})
