"""The benchmark of wrong labels: what is flipped, and that neither the fold set aside nor the scored labels are read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.robustness.noisy_label_worlds import SET_ASIDE, World, gaussian
from benchmarks.robustness.noisy_labels import LOSSES, NOISES, SHARE, SOFT, measured, students, taught
from mer.fusion.config import FusionConfig
from mer.training.fit_masks import FitMasks
from mer.training.folds import inner_validation

CONFIG = FusionConfig(hidden=8, epochs=2, batch_size=64, valence_weight=0.0)


def masks(world: World) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    own = world.examples
    scored = own.fold == 2
    held = inner_validation(own.speaker, own.clip_ids, own.emotion, ~scored, 0.25, 1)
    return ~scored & ~held, held, scored


def test_the_fold_set_aside_is_in_no_world() -> None:
    world = gaussian(200)
    assert SET_ASIDE not in world.examples.fold and len(set(world.examples.fold)) == 4
    assert len(world.examples) == 160
    assert all(table.clip_ids == world.examples.clip_ids for table in world.tables.values())


@pytest.mark.parametrize("noise", NOISES)
def test_labels_are_wrong_in_training_alone(noise: str) -> None:
    world = gaussian(400)
    train, held, scored = masks(world)
    told = taught(world, noise, FitMasks(train, held), CONFIG, seed=1)
    wrong = told.labels != world.examples.emotion
    assert not wrong[held | scored].any()
    if noise == "teacher":
        assert told.soft is not None and told.teacher is not None
        given = ~np.isnan(told.soft).any(axis=1)
        assert given[train].any() and not given[~train].any() and not wrong[train & ~given].any()
        assert (told.soft[given].argmax(axis=1) == told.labels[given]).all()
    else:
        assert wrong[train].mean() == pytest.approx(SHARE if noise != "none" else 0.0, abs=0.01)
    steps = (told.labels - world.examples.emotion)[wrong] % world.classes
    assert (set(steps) == {1}) if noise == "pairs" else (noise == "none" or len(set(steps)) > 2)


def test_the_scored_labels_change_nothing() -> None:
    world = gaussian(200)
    train, held, scored = masks(world)
    turned = np.where(scored, (world.examples.emotion + 1) % world.classes, world.examples.emotion)
    other = replace(world, examples=replace(world.examples, emotion=turned))
    answers = []
    for one in (world, other):
        told = taught(one, "teacher", FitMasks(train, held), CONFIG, seed=1)
        answers.append(students(one, told, FitMasks(train, held), scored, CONFIG, seed=1))
    assert answers[0].keys() == answers[1].keys()
    for name, predicted in answers[0].items():
        assert np.array_equal(predicted, answers[1][name]), name


def test_the_figures_are_those_that_the_docstring_names() -> None:
    figures = measured(gaussian(120), [1], epochs=1, last=True)
    for noise in NOISES:
        names = [*LOSSES, *([f"soft_{one}" for one in SOFT] + ["warm"] if noise == "teacher" else [])]
        for name in names:
            for ending in ("", "_last"):
                key = f"{noise}_{name}{ending}"
                assert 0 <= figures[key] <= 100
                if name != "smoothed":
                    default = figures[f"{noise}_smoothed{ending}"]
                    assert figures[f"{key}_gain"] == pytest.approx(figures[key] - default)
                    assert figures[f"{key}_gain_low"] <= figures[f"{key}_gain_high"]
    assert {"uniform_wrong", "teacher_teacher", "seconds"} <= figures.keys()
