"""When a growing corpus makes models be fitted again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from mer.recipes.loading import parse_recipe
from mer.training.refit import Growth, LearntFrom, RefitConfig, RefitDecision, decide, percent

BEFORE = Growth(clips_before=1000, labelled_before=200)
CONFIG = RefitConfig()


def decided(
    growth: Growth, since_aligned: Growth | None = None, learnt_from: LearntFrom = "pairs"
) -> RefitDecision:
    return decide(growth, since_aligned or growth, CONFIG, learnt_from)


def test_a_few_new_clips_fit_nothing_and_the_line_says_how_many_are_needed() -> None:
    found = decided(replace(BEFORE, clips_new=8, labels_new=3))
    assert (found.fits, found.aligns) == (False, False)
    assert found.lines == (
        "3 new labelled clips of 10 needed, .8 % new pairs of 5 % needed -> nothing is fitted",
    )


def test_enough_labels_fit_again_and_alignments_stay_without_enough_pairs() -> None:
    found = decided(replace(BEFORE, clips_new=12, labels_new=12))
    assert (found.fits, found.aligns) == (True, False)
    assert found.lines == (
        "12 new labelled clips of 10 needed -> fit again",
        "1.2 % new pairs of 5 % needed -> alignments stay as they are",
    )


def test_enough_pairs_fit_all_again() -> None:
    found = decided(replace(BEFORE, clips_new=50))
    assert (found.fits, found.aligns) == (True, True)
    assert found.lines == ("5 % new pairs of 5 % needed -> fit again",)


def test_growth_of_alignments_is_counted_since_their_own_fit() -> None:
    small, since_aligned = replace(BEFORE, clips_new=10), replace(BEFORE, clips_new=60)
    assert not decided(small).fits
    assert decided(small, since_aligned).aligns


def test_of_many_labels_a_share_is_needed() -> None:
    many = Growth(clips_before=100_000, labelled_before=50_000, labels_new=499)
    assert not decided(many).fits
    assert decided(replace(many, labels_new=500)).fits


def test_unlabelled_clips_count_for_nothing_where_nothing_learns_from_them() -> None:
    found = decided(replace(BEFORE, clips_new=900), learnt_from="labels")
    assert not found.fits and "pairs" not in found.reason


def test_of_pseudo_labels_alone_clips_are_counted_and_no_alignment_is_named() -> None:
    few, many = replace(BEFORE, clips_new=10, labels_new=10), replace(BEFORE, clips_new=60)
    assert decided(few, learnt_from="clips").lines == ("10 new labelled clips of 10 needed -> fit again",)
    assert decided(many, learnt_from="clips").lines == ("6 % new clips of 5 % needed -> fit again",)


@pytest.mark.parametrize("clips", [1, 3])
def test_what_is_gone_or_changed_is_not_learnt_from_any_longer(clips: int) -> None:
    found = decided(replace(BEFORE, changed=clips))
    assert (found.fits, found.aligns) == (True, True)
    assert "gone or" in found.reason


def test_a_recipe_states_the_policy_and_bad_ones_are_refused() -> None:
    stream = 'acoustic: {features: {modality: acoustic, source: "files:voice"}}'
    recipe = parse_recipe(
        f"name: x\n{stream}\nrefit: {{labels: 3, labels_share: 0, pairs_share: .2}}", origin="x"
    )
    assert recipe.refit.labels_needed(10_000) == 3 and recipe.refit.pairs_share == 0.2
    for wrong in ({"labels": 0}, {"pairs_share": 5}, {"label": 3}):
        with pytest.raises(ValidationError):
            RefitConfig.model_validate(wrong)


def test_shares_read_as_people_write_them() -> None:
    assert [percent(share) for share in (0.008, 0.05, 0.123, 0.0, 0.0499)] == [
        ".8 %", "5 %", "12 %", "0 %", "4.9 %",
    ]  # fmt: skip
