from __future__ import annotations

import numpy as np
import pytest
from simulated_clips import EMOTIONS, clips

from mer.drift.battery import Battery, run_battery
from mer.drift.config import DriftConfig
from mer.drift.measured import MeasuredClips

NULL = DriftConfig(alpha=0.05, permutations=199, least_effect=0.0)


def rate(
    draws: int, config: DriftConfig = NULL, *, reference: int = 12, batch: int = 6, **planted: object
) -> float:
    """Share of batches that alarm."""
    alarms = 0
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        alarms += bool(battery_of(rng, config, reference, batch, **planted).alarms(config))
    return alarms / draws


def battery_of(
    rng: np.random.Generator, config: DriftConfig, reference: int = 12, batch: int = 6, **planted: object
) -> Battery:
    old = clips(rng, reference, 12)
    return run_battery(old, clips(rng, batch, 10, tag="n", **planted), config, EMOTIONS)  # type: ignore[arg-type]


@pytest.mark.nightly
@pytest.mark.parametrize("speakers", [(12, 6), (8, 4), (20, 10)])
def test_batches_of_other_speakers_alarm_at_the_stated_rate(speakers: tuple[int, int]) -> None:
    """500 batches without drift, whose speakers differ as those of training do: within 3 standard errors of 5 %."""
    assert rate(500, reference=speakers[0], batch=speakers[1]) <= 0.05 + 3 * 0.0097


@pytest.mark.nightly
def test_unnamed_speakers_keep_the_rate_about_by_the_design_effect() -> None:
    """What docs/drift.md claims: .03 to .07 at 5 %, not the bound that named speakers keep."""
    assert rate(300, named=False) <= 0.1


@pytest.mark.nightly
@pytest.mark.parametrize(
    "planted", [{"shift": 1.0}, {"noise": 10.0}, {"prior": (0.6, 0.2, 0.05, 0.05, 0.05, 0.05)}]
)
def test_planted_drift_is_found_at_the_default_settings(planted: dict[str, object]) -> None:
    assert rate(100, DriftConfig(), **planted) >= 0.9


def test_few_batches_without_drift_alarm_and_planted_drift_is_found() -> None:
    """The acceptance in small, for every run of the suite."""
    assert rate(16) <= 3 / 16
    assert rate(3, DriftConfig(), shift=1.5) == 1.0


def test_independent_p_values_take_new_voices_for_drift_where_ours_do_not() -> None:
    """What exchanging speakers is for: with strong voices nearly every batch looks drifted to tests of independent clips."""
    naive = ours = 0
    for seed in range(8):
        battery = battery_of(np.random.default_rng(seed), NULL, between=1.0)
        naive += min(one.independent for one in battery.tests if one.independent is not None) <= 0.05 / 20
        ours += bool(battery.alarms(NULL))
    assert naive >= 6 and ours <= 2


def test_what_is_planted_is_what_alarms() -> None:
    rng = np.random.default_rng(3)
    config = DriftConfig()
    quality = battery_of(rng, config, noise=15.0).alarms(config)
    assert {one.what for one in quality} == {"snr_db"} and quality[0].effect > 0.8
    channel = battery_of(rng, config, shift=2.0).alarms(config)
    assert {"acoustic"} <= {one.what.split()[0] for one in channel} and "visual" not in str(channel)
    assert all(one.independent is None for one in channel if one.method != "KS")


def test_the_same_speakers_are_compared_with_themselves() -> None:
    rng = np.random.default_rng(4)
    both = clips(rng, 16, 20)
    half = np.arange(320) % 20 < 10
    shifted = both.taken(np.flatnonzero(~half))
    moved = MeasuredClips(
        shifted.names,
        shifted.speakers,
        {**shifted.vectors, "acoustic": shifted.vectors["acoustic"] + np.float32(0.5)},
        shifted.quality,
        shifted.probabilities,
    )
    config = DriftConfig()
    still = run_battery(both.taken(np.flatnonzero(half)), shifted, config, EMOTIONS)
    drifted = run_battery(both.taken(np.flatnonzero(half)), moved, config, EMOTIONS)
    assert still.pairs == 16 and not still.alarms(config)
    assert drifted.alarms(config), "half a deviation is found, as voices cancel"


def test_a_missing_stream_and_values_that_are_not_known_are_no_error() -> None:
    rng = np.random.default_rng(5)
    old, new = clips(rng, 8, 8), clips(rng, 6, 8, tag="n")
    new.vectors["visual"] = np.full((48, 1), np.float32(np.nan))  # type: ignore[index]  # a guessed width
    new.quality["brightness"][:] = np.nan
    config = DriftConfig()
    battery = run_battery(old, new, config, EMOTIONS)
    assert [one.what for one in battery.alarms(config)] == ["visual missing"]
    assert not any(one.what == "brightness" for one in battery.tests)


def test_too_few_speakers_can_never_alarm_and_the_battery_says_so() -> None:
    battery = battery_of(np.random.default_rng(6), DriftConfig(), reference=6, batch=1, shift=5.0)
    assert battery.least_p == pytest.approx(1 / 7) and not battery.alarms(DriftConfig())


def test_equal_clips_give_equal_tests() -> None:
    first, second = (battery_of(np.random.default_rng(7), DriftConfig(), shift=0.4) for _ in range(2))
    assert first == second
