"""Priors over arriving batches: as if all had come at once, or forgetting; state is plain JSON."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from scored_clips import SHIFTED, TRAINING, drawn

from mer.errors import ConfigError
from mer.label_shift.likelihood import estimate_em
from mer.label_shift.tracking import TrackedPriors


@pytest.mark.parametrize("size", [50, 500])
def test_batches_give_what_all_clips_give(size: int) -> None:
    logs, _ = drawn(SHIFTED, 20_000, seed=0)
    state = TrackedPriors.start(TRAINING)
    for begin in range(0, len(logs), size):
        state = state.update(logs[begin : begin + size])
    whole = estimate_em(logs, TRAINING).prior
    assert np.abs(state.prior - whole).sum() < (0.01 if size == 50 else 0.003)
    assert (state.batches, state.clips) == (20_000 // size, 20_000)
    np.testing.assert_allclose(state.mean_prediction, np.exp(logs).mean(axis=0))


def test_one_batch_is_em() -> None:
    logs, _ = drawn(SHIFTED, 3000, seed=1)
    state = TrackedPriors.start(TRAINING).update(logs, tolerance=1e-10)
    np.testing.assert_allclose(state.prior, estimate_em(logs, TRAINING).prior, atol=1e-6)
    assert state.update(logs[:0]) is state


def test_forgetting_follows_a_change() -> None:
    before, after = drawn(TRAINING, 10_000, 0)[0], drawn(SHIFTED, 5000, 1)[0]
    keeping = forgetting = TrackedPriors.start(TRAINING)
    for begin in range(0, 10_000, 250):
        batch = before[begin : begin + 250]
        keeping, forgetting = keeping.update(batch), forgetting.update(batch, forgetting=0.8)
    for begin in range(0, 5000, 250):
        batch = after[begin : begin + 250]
        keeping, forgetting = keeping.update(batch), forgetting.update(batch, forgetting=0.8)
    mixed = (2 * TRAINING + SHIFTED) / 3
    assert np.abs(keeping.prior - mixed).sum() < 0.05
    assert np.abs(forgetting.prior - SHIFTED).sum() < 0.1
    assert forgetting.clips == pytest.approx(250 / 0.2, rel=0.01)
    with pytest.raises(ConfigError, match="forgetting"):
        keeping.update(after, forgetting=0.0)


def test_a_class_that_was_absent_can_come() -> None:
    absent = np.array([0.5, 0.3, 0.2, 0.0, 0.0, 0.0])
    state = TrackedPriors.start(TRAINING).update(drawn(absent, 4000, 0)[0])
    for seed in range(1, 13):
        state = state.update(drawn(SHIFTED, 1000, seed)[0], forgetting=0.7)
    assert np.abs(state.prior - SHIFTED).sum() < 0.12


def test_the_state_is_json_and_goes_on_bit_for_bit() -> None:
    logs, _ = drawn(SHIFTED, 2000, seed=2)
    state = TrackedPriors.start(TRAINING).update(logs[:1000], forgetting=0.9)
    again = TrackedPriors.from_json(json.loads(json.dumps(state.to_json())))
    first, second = (one.update(logs[1000:], forgetting=0.9) for one in (state, again))
    assert first.to_json() == second.to_json()


def test_standard_errors_are_those_of_repetition() -> None:
    states = [TrackedPriors.start(TRAINING).update(drawn(SHIFTED, 2000, seed)[0]) for seed in range(80)]
    spread = np.std([state.prior for state in states], axis=0)
    np.testing.assert_allclose(states[0].standard_errors(), spread, rtol=0.35)
    assert np.isnan(TrackedPriors.start(TRAINING).standard_errors()).all()


def test_a_batch_costs_as_much_after_many_as_after_none() -> None:
    logs, _ = drawn(SHIFTED, 40_000, seed=0)
    late = TrackedPriors.start(TRAINING).update(logs)
    assert len(json.dumps(late.to_json())) < 4000, "the state grows with the clips"

    def seconds(state: TrackedPriors) -> float:
        started = time.process_time()
        for begin in range(0, 10_000, 500):
            state.update(logs[begin : begin + 500])
        return time.process_time() - started

    whole = min(seconds(TrackedPriors.start(TRAINING)) for _ in range(3))
    assert min(seconds(late) for _ in range(3)) < 3 * whole + 0.02
