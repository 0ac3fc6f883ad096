"""The challenge's noise: exact in level, the same in every run, never the speaker's own voice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mer.errors import ConfigError
from mer.quality.corruption import NoiseView, Talker, babble_of, blur, mix_at_snr, pool_digest

POOL = [Talker(f"clip{number:03d}", f"speaker{number % 6}") for number in range(60)]


def measured_snr_db(clean: np.ndarray, mixture: np.ndarray) -> float:
    """Of a mixture that may be scaled as a whole: the scale that leaves the least behind is not the true one, so the
    caller passes speech and noise that do not correlate."""
    clean64, mixed = clean.astype(np.float64), mixture.astype(np.float64)
    scale = (mixed @ clean64) / (clean64 @ clean64)
    noise = mixed - scale * clean64
    return float(10 * np.log10(np.mean((scale * clean64) ** 2) / np.mean(noise**2)))


@given(st.floats(-10, 40), st.floats(1e-4, 10.0), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_ratio_is_exact(snr_db: float, level: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    speech = (0.02 * generator.normal(size=4000)).astype(np.float32)
    noise = level * generator.normal(size=4000)
    noise -= speech * (noise @ speech) / (speech.astype(np.float64) @ speech)  # measurable exactly
    mixture = mix_at_snr(speech, noise, snr_db)
    assert np.abs(mixture).max() <= 1
    assert measured_snr_db(speech, mixture) == pytest.approx(snr_db, abs=0.01)


def test_a_loud_mixture_is_scaled_and_not_clipped() -> None:
    speech = (0.9 * np.sin(np.arange(8000) / 5)).astype(np.float32)
    noise = np.cos(np.arange(8000) / 5)
    mixture = mix_at_snr(speech, noise, 0.0)
    assert np.abs(mixture).max() == pytest.approx(1.0)
    assert measured_snr_db(speech, mixture) == pytest.approx(0.0, abs=0.05)


def test_silence_is_left_alone() -> None:
    silence, noise = np.zeros(100, np.float32), np.ones(100)
    np.testing.assert_array_equal(mix_at_snr(silence, noise, 5.0), silence)
    np.testing.assert_array_equal(mix_at_snr(noise.astype(np.float32), np.zeros(100), 5.0), noise)


def test_real_babble_under_real_speech(spoken_clips: list[np.ndarray]) -> None:
    clip, others = spoken_clips[0], spoken_clips[1:5]
    noise = NoiseView(seed=3).draw(POOL[0], POOL)
    mixture = noise.corrupt_waveform(clip, others)
    assert (mixture.shape, mixture.dtype) == (clip.shape, np.float32)
    assert 5 <= noise.snr_db <= 10
    added = mixture.astype(np.float64) - clip
    assert 10 * np.log10(np.mean(clip.astype(np.float64) ** 2) / np.mean(added**2)) == pytest.approx(
        noise.snr_db, abs=1e-3
    )
    np.testing.assert_array_equal(mixture, noise.corrupt_waveform(clip, others))


def test_every_talker_is_equally_loud_and_as_long_as_needed() -> None:
    quiet, loud = 0.01 * np.ones(70, np.float32), np.tile(np.array([1, -1], np.float32), 50)
    babble = babble_of([quiet, loud], 1000, np.random.default_rng(0))
    assert babble.shape == (1000,)
    assert babble.mean() == pytest.approx(1.0)  # the quiet one, a constant
    assert babble.std() == pytest.approx(1.0)  # the loud one, around it
    silent = babble_of([np.zeros(10, np.float32), np.zeros(0, np.float32)], 20, np.random.default_rng(0))
    assert not silent.any()


def test_the_draw_depends_on_seed_and_clip_alone() -> None:
    view = NoiseView(seed=1)
    first = view.draw(POOL[0], POOL)
    assert view.draw(POOL[0], reversed(POOL)) == first
    assert NoiseView(seed=1).draw(POOL[0], iter(POOL)) == first
    assert NoiseView(seed=2).draw(POOL[0], POOL) != first
    assert view.draw(POOL[1], POOL).snr_db != first.snr_db


def test_draws_cover_the_range_and_every_blur() -> None:
    drawn = [NoiseView().draw(clip, POOL) for clip in POOL]
    levels = np.array([one.snr_db for one in drawn])
    assert levels.min() < 5.5
    assert levels.max() > 9.5
    assert {one.blur_factor for one in drawn} == {1, 2, 4}


def test_talkers_are_others_and_of_different_speakers() -> None:
    speakers = {one.content: one.speaker for one in POOL}
    for clip in POOL:
        talkers = NoiseView(talkers=4).draw(clip, POOL).talkers
        heard = [speakers[one] for one in talkers]
        assert len(set(heard)) == 4
        assert clip.speaker not in heard


def test_few_speakers_repeat_and_unknown_ones_may_talk() -> None:
    two = [Talker("a", "x"), Talker("b", "y"), Talker("c", "y"), Talker("d", None), Talker("e", None)]
    assert set(NoiseView(talkers=4).draw(two[0], two).talkers) == {"b", "c", "d", "e"}
    assert set(NoiseView(talkers=9).draw(two[3], two).talkers) == {"a", "b", "c", "e"}
    with pytest.raises(ConfigError, match="other speakers"):
        NoiseView().draw(two[1], two[1:3])


def test_a_new_clip_changes_few_others() -> None:
    view = NoiseView(talkers=3)
    more = [*POOL, Talker("new", "somebody")]
    changed = sum(view.draw(clip, POOL).talkers != view.draw(clip, more).talkers for clip in POOL)
    assert 0 < changed < 40  # one speaker among seven, in three places


def test_the_pool_has_one_digest_in_any_order() -> None:
    assert pool_digest(POOL) == pool_digest(reversed(POOL))
    assert pool_digest(POOL) != pool_digest(POOL[1:])


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_blur_removes_detail_below_its_factor_and_keeps_the_rest(factor: int) -> None:
    x = np.arange(64)
    fine = np.where(x % 2, 200, 40).astype(np.uint8)
    coarse = np.where((x // 32) % 2, 200, 40).astype(np.uint8)
    pictures = np.stack([np.broadcast_to(row[None, :, None], (64, 64, 3)) for row in (fine, coarse)]).astype(
        np.uint8
    )
    blurred = blur(pictures, factor)
    assert (blurred.shape, blurred.dtype) == (pictures.shape, np.uint8)
    assert blurred.mean() == pytest.approx(pictures.mean(), abs=1)
    if factor == 1:
        np.testing.assert_array_equal(blurred, pictures)
    else:
        assert blurred[0].std() < 1
        assert blurred[1].std() > 70


def test_more_blur_is_more_blurred() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), dtype=np.uint8)
    detail = [float(np.abs(np.diff(blur(noise, factor).astype(int), axis=2)).mean()) for factor in (1, 2, 4)]
    assert detail == sorted(detail, reverse=True)
    assert detail[0] > 2 * detail[2]


@pytest.mark.parametrize(
    "wrong", [{"min_snr_db": 11.0}, {"blur_factors": (0,)}, {"blur_factors": ()}, {"talkers": 0}]
)
def test_views_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NoiseView.model_validate(wrong)
