from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mer.adaptation.batch_plan import Chances, draw_plan
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.fit_clips import FitClips, LabelledFrames
from mer.errors import ConfigError
from mer.features.dataset import RaggedTable
from mer.training.fit_masks import FitMasks

CPU = torch.device("cpu")
TRAIN = np.array([True, True, True, True, False, False])


def table(scale: float) -> RaggedTable:
    values = scale * np.arange(1, 13, dtype=np.float32).repeat(3).reshape(12, 3)
    return RaggedTable(tuple("abcdef"), values, np.arange(0, 14, 2), np.ones(6, dtype=bool))


def of(plain: RaggedTable, labels: np.ndarray, *variants: RaggedTable) -> FitClips:
    return FitClips.of(LabelledFrames(plain, labels, 2, variants), FitMasks(TRAIN, ~TRAIN), CPU)


def clips() -> FitClips:
    silent = replace(table(2.0), present=np.array([True, True, False, True, True, True]))
    return of(table(1.0), np.array([0, 1, 0, -1, 1, 0]), silent, table(3.0))


def test_rows_are_labelled_plain_to_validate_and_any_variant_to_train() -> None:
    made = clips()
    assert made.train.tolist() == [0, 1, 2] and made.validation.tolist() == [4, 5]
    # the clip whose first variant is silent is shown plain in its place
    assert made.choices.tolist() == [[0, 1, 2], [6, 7, 2], [12, 13, 14]]
    assert made.shown.tolist() == [0, 1, 2, 6, 7, 12, 13, 14]
    assert made.labels[made.choices].tolist() == [[0, 1, 0]] * 3
    assert float(made.store.values[made.store.offsets[13], 0]) == 9.0  # clip b, third table


def test_an_epoch_draws_one_variant_of_each_clip_with_equal_chances() -> None:
    made = clips()
    generator = torch.Generator().manual_seed(0)
    epochs = np.stack([made.rows_of_epoch(generator, every=False) for _ in range(3000)])
    assert (epochs % 6 == [0, 1, 2]).all()
    shares = [float((epochs[:, 0] == row).mean()) for row in (0, 6, 12)]
    assert np.allclose(shares, 1 / 3, atol=0.04)
    assert made.rows_of_epoch(generator, every=True).tolist() == made.shown.tolist()


def test_without_variants_nothing_is_drawn() -> None:
    made = of(table(1.0), np.array([0, 1, 0, 1, 1, 0]))
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert made.rows_of_epoch(generator, every=False).tolist() == [0, 1, 2, 3]
    assert torch.equal(generator.get_state(), before)


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(ConfigError, match="5 labels for 6 clips"):
        of(table(1.0), np.zeros(5, dtype=np.int64))


def test_a_part_of_a_plan_is_those_clips_alone() -> None:
    made = clips()
    config = AdaptationConfig(time_masks=1, time_mask_share=1.0, feature_masks=1, mixup=0.5)
    plan = draw_plan(made.store, made.train, config, Chances(1, 0))
    assert plan.share is not None and bool((plan.share >= 0.5).all())
    part = plan.subset(slice(1, 3))
    assert part.rows.tolist() == plan.rows[1:3].tolist()
    for name in ("hide", "blank_times", "blank_features", "share"):
        assert torch.equal(getattr(part, name), getattr(plan, name)[1:3]), name
    assert plan.subset(slice(3, 3)).clips == 0


def test_an_option_that_is_off_changes_no_other_draw() -> None:
    made = clips()
    plain = draw_plan(made.store, made.train, AdaptationConfig(), Chances(1, 0))
    more = draw_plan(
        made.store, made.train, AdaptationConfig(time_masks=2, feature_masks=2, mixup=1.0), Chances(1, 0)
    )
    assert plain.hide is not None and more.hide is not None and torch.equal(plain.hide, more.hide)
    assert plain.blank_times is None and plain.share is None and plain.blank_features is None
