"""The layer study on plain arrays finds the state that emotion was planted in; an encoder by name is read and studied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mer
from mer.errors import ConfigError
from mer.layer_study.config import LayerStudyConfig
from mer.layer_study.study import study_layers as study_states

QUICK: dict[str, Any] = {"resamples": 100, "seeds": 1, "folds": 3, "weighting_steps": 20}


@pytest.fixture(scope="module")
def states() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    emotion = generator.integers(0, 3, 90)
    values = generator.normal(0, 1, (90, 5, 4))
    values[:, 3, :3] += 3 * np.eye(3)[emotion]
    values[7] = np.nan
    return values, np.array(["angry", "happy", "sad"])[emotion], generator.integers(0, 6, 90)


def test_it_finds_the_state(states: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    values, labels, speakers = states
    curve = mer.study_layers(values, labels, speakers, **QUICK)
    assert curve.best_layer == 3 and curve.best_block[0] < 3 <= curve.best_block[1] and curve.clips == 89
    assert (curve.low < curve.mean).all() and curve.mean.shape == (5,)
    assert curve.figure(tmp_path / "figures" / "layers.png").read_bytes().startswith(b"\x89PNG")
    rows = [line for line in str(curve).splitlines() if line.endswith("best")]
    assert len(rows) == 1 and rows[0].split()[0] == "3"
    present = np.delete(np.arange(90), 7)
    index = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    same = study_states(
        values[present].astype(np.float32),
        index[present],
        [str(s) for s in speakers[present]],
        LayerStudyConfig(**QUICK),
    )
    assert np.array_equal(same.mean, curve.mean) and np.array_equal(same.low, curve.low)


def test_without_speakers_it_warns(states: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    with pytest.warns(UserWarning, match="may follow speakers instead of emotion"):
        mer.study_layers(states[0], states[1], **QUICK)


def test_wrong_arguments_say_what_was_expected(states: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    values, labels, speakers = states
    broken = values.copy()
    broken[4, 0, 0] = np.inf
    for arguments, options, message in (
        ((values[:, 0], labels, speakers), {}, r"shape \(clips, hidden states, features\), found \(90, 4\)"),
        ((values, labels[1:], speakers), {}, "labels: expected 90 values"),
        ((values, labels, speakers[1:]), {}, "speakers: expected 90 values"),
        ((values[:, :1], labels, speakers), {}, "hidden states"),
        ((broken, labels, speakers), {}, "found NaN or infinity in 1 clips, first clip 4"),
        ((values * np.nan, labels, speakers), {}, "found NaN for all of 90"),
        (
            (np.repeat(values[:1], 90, axis=0), labels, speakers),
            {},
            "differ between clips, found the same in all 90",
        ),
        ((values, labels, speakers), {"seed_count": 2}, "study_layers: unknown option 'seed_count'"),
        ((values, labels, speakers), {"pooling": "statistics"}, "only with an encoder's source"),
        ((values, labels, speakers), {"clips": ["a.wav"]}, "expected `clips` only with an encoder's source"),
        (("wheel:moonshine-tiny", labels, speakers), {}, "expected `clips`"),
    ):
        with pytest.raises(ConfigError, match=message):
            mer.study_layers(*arguments, **QUICK | options)
