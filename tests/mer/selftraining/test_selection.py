"""Selection by policy, what it costs in precision on held-out clips, and learning from it."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from mer.errors import ConfigError
from mer.examples import Examples
from mer.posteriors import Posteriors
from mer.selftraining.config import SelfTrainingConfig
from mer.selftraining.pseudo_labels import PseudoLabels, union, with_pseudo_labels
from mer.selftraining.selection import HeldOut, select_pseudo_labels

CLASSES = ("neutral", "angry", "happy")


def from_probabilities(rows: list[list[float]], prefix: str = "c") -> Posteriors:
    count = len(rows)
    logits = np.log(np.array(rows)).astype(np.float32)
    return Posteriors(tuple(f"{prefix}{i}" for i in range(count)), logits, np.arange(count, dtype=np.float32))


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


def alone(**options: object) -> SelfTrainingConfig:
    return SelfTrainingConfig.model_validate({"agreeing": 1, "cap_ratio": None, **options})


def chosen_by(config: SelfTrainingConfig, voters: list[Posteriors] | None = None) -> PseudoLabels:
    return select_pseudo_labels(voters or [POSTERIORS], CLASSES, config)


def test_only_confident_predictions_that_are_not_excluded() -> None:
    chosen = select_pseudo_labels([POSTERIORS], CLASSES, alone(threshold=0.9), {"c5"})
    assert chosen.clip_ids == ("c0", "c3", "c2", "c4")
    assert chosen.emotion.tolist() == [0, 1, 1, 1]
    assert chosen.counts == {"neutral": 1, "angry": 3, "happy": 0}
    np.testing.assert_allclose(chosen.confidence, [0.95, 0.98, 0.97, 0.91], atol=1e-6)
    assert chosen.valence.tolist() == [0.0, 3.0, 2.0, 4.0]
    np.testing.assert_allclose(chosen.probabilities[0], [0.95, 0.03, 0.02], atol=1e-6)


def test_thresholds_by_class() -> None:
    config = alone(threshold=0.9, class_thresholds={"neutral": 0.8, "angry": 0.975})
    assert chosen_by(config).clip_ids == ("c0", "c1", "c3", "c5")
    with pytest.raises(ConfigError, match="unknown classes"):
        chosen_by(alone(class_thresholds={"joy": 0.9}))


def test_caps_keep_the_most_confident() -> None:
    capped = chosen_by(alone(threshold=0.9, cap_per_class=2))
    assert capped.counts == {"neutral": 1, "angry": 2, "happy": 1} and capped.clip_ids[1:3] == ("c3", "c2")
    even = chosen_by(alone(threshold=0.9, cap_ratio=1.0))
    assert set(even.counts.values()) == {1}


def test_voters_must_agree_and_the_order_of_rows_does_not_matter() -> None:
    other = from_probabilities([[0.1, 0.8, 0.1]] * 6)
    both = chosen_by(alone(threshold=0.8, agreeing=2), [POSTERIORS, other])
    assert both.clip_ids == ("c3", "c2", "c4") and both.agreeing.tolist() == [2, 2, 2]
    assert chosen_by(alone(threshold=0.8, agreeing=2)).clip_ids == chosen_by(alone(threshold=0.8)).clip_ids, (
        "a single voter is all there is"
    )
    backwards = [one.restricted(one.clip_ids[::-1]) for one in (POSTERIORS, other)]
    again = chosen_by(alone(threshold=0.8, agreeing=2), backwards)
    assert again.to_parquet() == both.to_parquet()
    product = chosen_by(alone(threshold=0.3, agreeing=1, lead="product"), [POSTERIORS, other])
    pooled = np.log(POSTERIORS.probabilities()) + np.log(other.probabilities())
    by_clip = dict(zip(product.clip_ids, product.emotion.tolist(), strict=True))
    assert all(by_clip[f"c{row}"] == pooled[row].argmax() for row in range(6) if f"c{row}" in by_clip)


def held_out(count: int, wrong: int) -> HeldOut:
    """Clips of the class angry, all said to be angry with the same confidence, of which some are neutral in truth."""
    said = from_probabilities([[0.02, 0.96, 0.02]] * count, prefix="v")
    return HeldOut([said], np.where(np.arange(count) < wrong, 0, 1))


def test_confidence_is_calibrated_and_precision_estimated_on_held_out_clips() -> None:
    known = held_out(40, wrong=10)
    chosen = select_pseudo_labels([POSTERIORS], CLASSES, alone(threshold=0.7), held_out=known)
    sure = select_pseudo_labels([POSTERIORS], CLASSES, alone(threshold=0.9), held_out=known)
    assert "c2" in chosen.clip_ids and sure.clip_ids == (), (
        "a model that is .96 sure and .75 right is tempered"
    )
    assert chosen.precision == {"neutral": (0, 0), "angry": (30, 40), "happy": (0, 0)}
    assert chosen.estimated_precision == pytest.approx(0.75)
    strict = select_pseudo_labels([POSTERIORS], CLASSES, alone(precision=0.8), held_out=known)
    assert strict.clip_ids == () and all(np.isinf(value) for value in strict.thresholds.values())
    mild = select_pseudo_labels([POSTERIORS], CLASSES, alone(precision=0.7), held_out=known)
    assert set(mild.clip_ids) == {"c2", "c3"} and mild.thresholds["angry"] == pytest.approx(0.75, abs=0.02)
    with pytest.raises(ConfigError, match="held-out"):
        chosen_by(alone(precision=0.7))


def test_a_share_of_each_class_says_which_threshold_it_reached() -> None:
    chosen = chosen_by(alone(share=0.5))
    assert chosen.counts == {"neutral": 1, "angry": 2, "happy": 1}
    assert chosen.thresholds["angry"] == pytest.approx(0.97, abs=1e-6)


@pytest.mark.parametrize("threshold", [0.9, 1.0])
def test_a_parquet_file_gives_it_back(threshold: float) -> None:
    chosen = select_pseudo_labels([POSTERIORS], CLASSES, alone(threshold=threshold), held_out=held_out(30, 3))
    again = PseudoLabels.from_parquet(chosen.to_parquet())
    assert again.to_parquet() == chosen.to_parquet()
    assert (again.counts, again.thresholds, again.precision) == (
        chosen.counts,
        chosen.thresholds,
        chosen.precision,
    )
    assert np.array_equal(again.probabilities, chosen.probabilities)


def test_generations_add_up_and_the_earliest_label_of_a_clip_stays() -> None:
    first = chosen_by(alone(threshold=0.96))  # c2, c3 angry
    flipped = from_probabilities([[0.97, 0.02, 0.01]] * 6)
    second = chosen_by(alone(threshold=0.9), [flipped])
    joined = union([first, second])
    assert joined is not None and len(joined.clip_ids) == 6
    by_clip = dict(zip(joined.clip_ids, joined.emotion.tolist(), strict=True))
    assert by_clip["c2"] == 1 and by_clip["c0"] == 0
    assert union([]) is None and union([chosen_by(alone(threshold=1.0))]) is None


def unlabelled(count: int) -> Examples:
    return Examples(
        clip_ids=tuple(f"c{row}" for row in range(count)),
        emotion=np.full(count, -1),
        valence=np.full(count, np.nan, np.float32),
        speaker=("s",) * count,
        fold=np.full(count, -1),
        weight=np.ones(count, np.float32),
    )


def test_examples_learn_from_them_with_their_weights() -> None:
    chosen = chosen_by(alone(threshold=0.9))
    learnt = with_pseudo_labels(unlabelled(7), chosen, SelfTrainingConfig(weight=0.5))
    assert learnt.emotion.tolist() == [0, -1, 1, 1, 1, 2, -1]
    np.testing.assert_allclose(learnt.weight[[0, 1, 2]], [0.475, 1.0, 0.485], atol=1e-6)
    even = with_pseudo_labels(unlabelled(7), chosen, SelfTrainingConfig(weight=0.5, weighting="equal"))
    assert even.weight[[0, 2, 6]].tolist() == [0.5, 0.5, 1.0]
    soft = with_pseudo_labels(unlabelled(7), chosen, SelfTrainingConfig(targets="soft"))
    assert learnt.target is None and soft.target is not None
    np.testing.assert_allclose(soft.target[0], [0.95, 0.03, 0.02], atol=1e-6)
    assert np.isnan(soft.target[[1, 6]]).all()
    with pytest.raises(ConfigError, match="not of this data set"):
        with_pseudo_labels(unlabelled(3), chosen, SelfTrainingConfig())
    with pytest.raises(ConfigError, match="visible label"):
        with_pseudo_labels(learnt, chosen, SelfTrainingConfig())


def test_misspelt_options_and_two_policies_are_refused() -> None:
    with pytest.raises(ValidationError, match="treshold"):
        SelfTrainingConfig.model_validate({"treshold": 0.9})
    with pytest.raises(ValidationError, match="share and threshold"):
        SelfTrainingConfig(share=0.5, threshold=0.8)
    with pytest.raises(ValidationError, match="precision and share"):
        SelfTrainingConfig(share=0.5, precision=0.8)
    with pytest.raises(ValidationError, match="share and class_thresholds"):
        SelfTrainingConfig(share=0.5, class_thresholds={"happy": 0.9})


@pytest.mark.parametrize("options", [{}, {"share": 0.5}, {"precision": 0.8}, {"threshold": 0.8}])
def test_options_come_back_from_json_and_from_earlier_packages(options: dict[str, float]) -> None:
    config = SelfTrainingConfig.model_validate(options)
    assert SelfTrainingConfig.model_validate_json(config.model_dump_json()) == config
    before = {
        "threshold": 0.9,
        "class_thresholds": {},
        "cap_per_class": None,
        "cap_ratio": 3.0,
        "temperature": 1.0,
    }
    assert SelfTrainingConfig.model_validate(before).fixed_threshold("happy") == 0.9
