"""A new speaker's features are brought to where the training speakers are, as far as a few clips tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mer.domain.speakers import LEAST_SPEAKERS, SpeakerSpread, TrainingSpeakers, clip_values, fit_speakers
from mer.errors import ConfigError, WeightsError
from mer.stream_tables import FeatureTable, RaggedTable

BETWEEN, WITHIN = np.array([2.0, 0.5, 0.0]), np.array([1.0, 1.0, 1.0])


def world(
    speakers: int, clips: int, seed: int = 0, between: np.ndarray = BETWEEN
) -> tuple[np.ndarray, list[str]]:
    """(speakers * clips, 3) features around a mean of 10, and who speaks."""
    rng = np.random.default_rng(seed)
    places = 10 + between * rng.normal(size=(speakers, 3))
    values = places.repeat(clips, axis=0) + WITHIN * rng.normal(size=(speakers * clips, 3))
    return values.astype(np.float32), [f"s{number // clips}" for number in range(speakers * clips)]


def table(values: np.ndarray, present: np.ndarray | None = None) -> FeatureTable:
    ids = tuple(f"c{row}" for row in range(len(values)))
    return FeatureTable(ids, values, np.ones(len(values), bool) if present is None else present)


def fitted(values: np.ndarray, speakers: list[str]) -> SpeakerSpread:
    return fit_speakers({"utterance": {"sound": table(values)}}, speakers).spreads["utterance", "sound"]


def test_both_variances_are_found_without_each_other() -> None:
    spread = fitted(*world(400, 3))
    np.testing.assert_allclose(np.sqrt(spread.within), WITHIN, atol=0.06)
    np.testing.assert_allclose(np.sqrt(spread.between)[:2], BETWEEN[:2], atol=0.15)
    assert spread.between[2] < 0.05, "the clips' own variance is no difference of speakers"
    np.testing.assert_allclose(spread.mean, 10, atol=0.4)


def test_the_offset_grows_with_the_clips_and_only_where_speakers_differ() -> None:
    spread = SpeakerSpread(*(np.array(one, np.float32) for one in ([0.0, 0.0], [4.0, 0.0], [4.0, 4.0])))
    moved = [spread.offset(np.full((count, 2), 6.0)) for count in (0, 1, 3, 1000)]
    assert [round(float(one[0]), 2) for one in moved] == [0.0, 3.0, 4.5, 5.99]
    assert not any(one[1] for one in moved)
    nothing = SpeakerSpread(*(np.zeros(2, np.float32) for _ in range(3)))
    assert not nothing.offset(np.ones((5, 2))).any(), "a constant feature stays"


@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_shrunk_offset_is_nearer_to_the_truth_than_none_and_than_the_plain_mean(count: int) -> None:
    spread = fitted(*world(300, 20))
    values, _ = world(500, count, seed=1)
    own = 10 + BETWEEN * np.random.default_rng(1).normal(size=(500, 3))  # the places that `world` drew
    clips = values.reshape(500, count, 3)
    told = np.stack([spread.mean + spread.offset(one) for one in clips])
    shrunk, plain, none = (
        ((one - own) ** 2).mean(axis=0) for one in (told, clips.mean(axis=1), np.float64(10))
    )
    assert (shrunk < 1.02 * np.minimum(plain, none) + 0.03).all()
    assert shrunk.mean() < 0.9 * min(plain.mean(), none.mean())


def test_clips_are_moved_at_every_level_and_absent_ones_stay_zeros() -> None:
    values, speakers = world(6, 10)
    states = np.stack([values, values + 1], axis=1)[:, :, None]  # (N, 2 variants, 1 state, 3)
    frames = RaggedTable(
        tuple(map(str, range(60))), np.repeat(values, 2, axis=0), np.arange(61) * 2, np.ones(60, bool)
    )
    known = fit_speakers({"states": {"a": table(states)}, "frames": {"b": frames}}, speakers)
    assert known.spreads["states", "a"].mean.shape == (1, 3) and known.spreads["frames", "b"].mean.shape == (
        3,
    )
    some = np.array([True, False, True])
    asked = {
        "states": {
            "a": table(np.where(some[:, None, None, None], states[:3], 0), some),
            "x": table(values[:3]),
        },
        "frames": {"b": RaggedTable(("0", "1", "2"), frames.values[:6], np.arange(4) * 2, some)},
    }
    enrolled = known.enrol(asked)
    moved = enrolled.apply(asked)
    assert enrolled.clips == 3 and moved["states"]["x"] is asked["states"]["x"]
    offset = enrolled.offsets["states", "a"]
    expected = known.spreads["states", "a"].offset(clip_values(asked["states"]["a"], "states")[some])
    np.testing.assert_array_equal(offset, expected)
    np.testing.assert_allclose(moved["states"]["a"].values[[0, 2]], states[[0, 2]] - offset, rtol=1e-6)
    assert not moved["states"]["a"].values[1].any() and not moved["frames"]["b"].values[2:4].any()
    np.testing.assert_allclose(
        moved["frames"]["b"].values[:2], frames.values[:2] - enrolled.offsets["frames", "b"], rtol=1e-6
    )


def test_too_few_speakers_say_nothing_and_unknown_ones_are_passed_over() -> None:
    values, speakers = world(LEAST_SPEAKERS - 1, 10)
    assert not fit_speakers({"utterance": {"sound": table(values)}}, speakers).spreads
    more, names = world(LEAST_SPEAKERS, 10)
    alone = np.concatenate([more, more[:3] + 1000]), [*names, "once", None, None]
    one, two = fitted(more, names), fitted(*alone)
    np.testing.assert_array_equal(one.mean, two.mean)


def test_a_stream_that_the_speakers_clips_lack_is_not_moved() -> None:
    values, speakers = world(5, 10)
    known = fit_speakers({"utterance": {"sound": table(values), "face": table(values)}}, speakers)
    asked = {"utterance": {"sound": table(values[:2]), "face": table(values[:2], np.zeros(2, bool))}}
    enrolled = known.enrol(asked)
    assert set(enrolled.offsets) == {("utterance", "sound")}
    with pytest.raises(ConfigError, match=r"stream sound: expected features of shape \(3,\)"):
        enrolled.apply({"utterance": {"sound": table(values[:2, :2])}})
    nobody = table(np.zeros((2, 1), np.float32), np.zeros(2, bool))  # its width is only guessed
    assert enrolled.apply({"utterance": {"sound": nobody}})["utterance"]["sound"] is nobody


def test_saved_and_loaded_it_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    values, speakers = world(5, 10)
    known = fit_speakers({"utterance": {"b": table(values), "a": table(values * 2)}}, speakers)
    known.save(tmp_path)
    again = TrainingSpeakers.load(tmp_path)
    assert again is not None and set(again.spreads) == set(known.spreads)
    for place, spread in known.spreads.items():
        np.testing.assert_array_equal(again.spreads[place].between, spread.between)
    assert TrainingSpeakers.load(tmp_path / "nothing") is None
    (tmp_path / "speakers.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="expected how training speakers differ"):
        TrainingSpeakers.load(tmp_path)
