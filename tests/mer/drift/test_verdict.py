from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from simulated_clips import EMOTIONS, clips

from mer.drift.battery import Battery, DriftTest
from mer.drift.config import DriftConfig, DriftPolicy
from mer.drift.figures import distributions_figure, effects_figure
from mer.drift.measured import MeasuredClips, spread_over_speakers
from mer.drift.verdict import not_tested, retraining_called_for, verdict_of
from mer.errors import ConfigError, WeightsError
from mer.recipes import load_recipe


def battery(effect: float, adjusted: float = 0.001, least_p: float = 0.001) -> Battery:
    one = DriftTest(
        family="quality", what="snr_db", method="KS", statistic=effect, effect=effect, p_value=adjusted,
        adjusted=adjusted,
    )  # fmt: skip
    return Battery((one,), (8, 4), True, 0, 495.0, (80, 40), least_p)


@pytest.mark.parametrize(
    ("policy", "effect", "clips_seen", "action"),
    [
        ("tell", 0.9, 200, "tell"),
        ("suggest", 0.9, 200, "suggest"),
        ("start", 0.9, 200, "start"),
        ("start", 0.2, 200, "suggest"),
        ("start", 0.9, 30, "suggest"),
        ("start", 0.1, 200, "nothing"),
    ],
)
def test_the_policy_and_its_thresholds_decide(
    policy: str, effect: float, clips_seen: int, action: str
) -> None:
    config = DriftConfig.model_validate({"policy": policy})
    verdict = verdict_of(battery(effect), clips_seen, config)
    assert verdict.action == action
    if (policy, action) == ("start", "suggest"):
        assert "a retraining starts from" in verdict.reason
    if action == "nothing":
        assert verdict.finding == "no drift" and "differ for sure, by less than 0.15" in verdict.reason


def test_what_cannot_be_tested_is_said() -> None:
    few = verdict_of(battery(0.9, least_p=0.2), 100, DriftConfig())
    assert few.finding == "cannot tell" and "4 speakers of the new clips and 8" in few.reason
    assert verdict_of(battery(0.9, adjusted=0.4), 100, DriftConfig()).finding == "no drift"
    short = not_tested(5, 100, DriftConfig())
    assert short is not None and "5 new clips, at least 20 are needed" in short.reason
    assert not_tested(20, 20, DriftConfig()) is None


@pytest.mark.parametrize(
    ("policy", "action", "labels", "goes_on", "said"),
    [
        ("tell", "tell", 0, True, "in any case"),
        ("start", "start", 0, True, "drift starts"),
        ("start", "nothing", 20, True, "20 clips have labels"),
        ("start", "suggest", 19, False, "`drift.start_labels`: 20"),
        ("suggest", "suggest", 500, False, "500 clips have labels"),
    ],
)
def test_new_labels_start_a_retraining_as_drift_does(
    policy: DriftPolicy, action: str, labels: int, goes_on: bool, said: str
) -> None:
    decided, why = retraining_called_for(policy, action, labels, DriftConfig())
    assert decided is goes_on and said in why


def test_options_are_part_of_a_recipe_and_an_alpha_that_no_test_can_reach_is_refused() -> None:
    assert load_recipe("demo", ("drift.policy=start",)).drift == DriftConfig(policy="start")
    with pytest.raises(ValidationError, match="no test could ever alarm"):
        DriftConfig(alpha=0.001, permutations=199)


def test_measured_clips_are_read_back_bit_for_bit(tmp_path: Path) -> None:
    made = clips(np.random.default_rng(0), 3, 4)
    made.vectors["visual"][2] = np.nan
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        made.save(folder)
    read = MeasuredClips.load(tmp_path / "a")
    assert read.names == made.names and read.speakers == made.speakers
    for name, values in made.vectors.items():
        assert np.array_equal(read.vectors[name], values, equal_nan=True)
    assert np.array_equal(read.probabilities, made.probabilities) and set(read.quality) == set(made.quality)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    (tmp_path / "a" / "measured.json").write_text("{}")
    with pytest.raises(WeightsError, match="expected measured clips"):
        MeasuredClips.load(tmp_path / "a")
    with pytest.raises(ConfigError, match="expected values of 12 clips"):
        MeasuredClips(made.names, made.speakers[:3], made.vectors, made.quality, made.probabilities)


def test_a_sample_spreads_over_speakers() -> None:
    speakers = ["a"] * 90 + ["b"] * 6 + ["c"] * 4
    rows = spread_over_speakers(speakers, 12)
    assert len(rows) == 12 and [sum(speakers[row] == who for row in rows) for who in "abc"] == [4, 4, 4]
    assert spread_over_speakers(speakers, 200).tolist() == list(range(100))
    assert (spread_over_speakers(speakers, 12) == rows).all()


def test_figures_are_pictures() -> None:
    rng = np.random.default_rng(1)
    old, new = clips(rng, 4, 6), clips(rng, 4, 6, tag="n", noise=10)
    for figure in (
        effects_figure(battery(0.4), DriftConfig()),
        distributions_figure(old, new, battery(0.4), EMOTIONS),
    ):
        assert figure is not None and figure.startswith(b"\x89PNG")
