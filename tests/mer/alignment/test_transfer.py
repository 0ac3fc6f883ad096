"""Probes with few labelled speakers, and a classifier of the anchor asked about the trained side."""

from __future__ import annotations

import numpy as np
import pytest

from mer.alignment.projectors import AnchorProjector
from mer.alignment.transfer import LabelledClips, few_labelled, zero_shot

SPEAKERS, EACH = 6, 20


def clips(known_speakers: bool = True) -> LabelledClips:
    emotion = np.tile([0, 1], SPEAKERS * EACH // 2)
    emotion[:4] = -1  # of the first speaker
    return LabelledClips(
        emotion=emotion,
        speaker=[f"s{row // EACH}" if known_speakers else None for row in range(SPEAKERS * EACH)],
        known=np.arange(80),
        scored=np.arange(80, 120),
    )


def told(strength: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(SPEAKERS * EACH, 5))
    values[:, 0] += strength * (2 * np.tile([0, 1], SPEAKERS * EACH // 2) - 1)
    return values.astype(np.float32)


def test_one_space_lets_a_classifier_of_the_anchor_answer_for_the_trained_side() -> None:
    assert zero_shot(told(3.0), told(3.0, seed=1), clips()).mean() > 0.95
    assert zero_shot(told(3.0), -told(3.0, seed=1), clips()).mean() < 0.05, (
        "its labels are of the anchor alone"
    )
    moved = 5 + 9 * told(3.0, seed=1)
    assert zero_shot(told(3.0), moved, clips()).mean() > 0.95, "each side is on a scale of its own"


def test_systems_see_the_same_few_speakers() -> None:
    found = few_labelled({"a": told(1.0), "b": told(1.0), "none": told(0.0)}, clips(), 1, draws=5, seed=3)
    np.testing.assert_array_equal(found["a"], found["b"])
    assert found["a"].mean() > found["none"].mean() + 0.15
    assert few_labelled({"a": told(1.0)}, clips(), 3, 5, 3)["a"].mean() >= found["a"].mean() - 0.02


@pytest.mark.parametrize(("known", "speakers"), [(True, 4), (False, 1)])
def test_a_draw_of_all_speakers_or_of_unknown_ones_is_none(known: bool, speakers: int) -> None:
    assert few_labelled({"a": told(1.0)}, clips(known), speakers, 5, 0) == {}


def test_labels_of_one_class_answer_that_class() -> None:
    one = clips()
    one.emotion[:20] = 1
    speakers = [name if row < 20 else None for row, name in enumerate(one.speaker)]
    alone = LabelledClips(
        emotion=one.emotion, speaker=["other" if row == 79 else speakers[row] for row in range(len(speakers))],
        known=one.known, scored=one.scored,
    )  # fmt: skip
    found = few_labelled({"a": told(1.0)}, alone, 1, draws=4, seed=0)
    assert found["a"].mean() == pytest.approx(0.5)


def test_the_raw_space_is_the_anchors_own() -> None:
    import torch

    values = torch.from_numpy(3 + 2 * told(1.0))
    projector = AnchorProjector(5, 5, 5, "raw")
    projector.fit(values)
    standard = (values - values.mean(dim=0)) / values.std(dim=0, correction=0)
    torch.testing.assert_close(projector(values), torch.nn.functional.normalize(standard, dim=-1))
    assert not list(projector.parameters()), "nothing of it is trained"
