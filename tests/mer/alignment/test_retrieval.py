from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mer.alignment.retrieval import retrieval_figures, retrieved


def unit(rows: int, features: int, seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=(rows, features))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def recall_at(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], ranks: tuple[int, ...] = (1, 5, 10)
) -> dict[int, float]:
    """Naive: sort the gallery for every query."""
    orders = [np.argsort(-(gallery @ query)) for query in queries]
    return {k: float(np.mean([row in order[:k] for row, order in enumerate(orders)])) for k in ranks}


def test_figures_are_those_of_sorting_the_gallery_for_each_query() -> None:
    queries, gallery = unit(40, 5, 0), unit(40, 5, 1) + unit(40, 5, 0)
    figures = retrieval_figures(queries, gallery)
    for k, recall in recall_at(queries, gallery).items():
        assert figures[f"trained_to_anchor_r{k}"] == pytest.approx(recall)
    for k, recall in recall_at(gallery, queries).items():
        assert figures[f"anchor_to_trained_r{k}"] == pytest.approx(recall)


def test_a_perfect_and_a_blind_model() -> None:
    vectors = unit(30, 16, 2)
    blind = np.tile(vectors[:1], (30, 1))
    for k in (1, 5, 10):
        assert retrieval_figures(vectors, vectors)[f"trained_to_anchor_r{k}"] == 1.0
        assert retrieval_figures(blind, blind)[f"trained_to_anchor_r{k}"] == pytest.approx(k / 30)


def test_unrelated_spaces_are_at_chance() -> None:
    figures = [retrieval_figures(unit(100, 8, seed), unit(100, 8, 1000 + seed)) for seed in range(30)]
    for k in (1, 5, 10):
        assert figures[0][f"chance_r{k}"] == pytest.approx(k / 100)
        recalls = [one[f"trained_to_anchor_r{k}"] for one in figures]
        assert np.mean(recalls) == pytest.approx(k / 100, abs=0.01)


def test_figures_are_named_both_ways() -> None:
    queries, gallery = unit(20, 4, 0), unit(20, 4, 1)
    figures = retrieval_figures(queries, gallery)
    assert figures["retrieval_clips"] == 20 and figures["chance_r5"] == 0.25
    nothing = np.zeros((0, 4), dtype=np.float32)
    assert retrieval_figures(nothing, nothing)["chance_r1"] == 0.0


def test_within_speakers_each_has_a_gallery_of_its_own() -> None:
    trained, anchor = unit(23, 4, 0), unit(23, 4, 1) + unit(23, 4, 0)
    speaker = np.array([0] * 8 + [1] * 12 + [2] + [-1] * 2)
    found = retrieved(trained, anchor, within=speaker)
    assert sorted(found.rows.tolist()) == list(
        range(20)
    )  # one clip alone and unknown speakers are no queries
    for own in (np.arange(8), np.arange(8, 20)):
        places = [found.rows.tolist().index(row) for row in own]
        assert found.trained_to_anchor[places].mean(axis=0).tolist() == pytest.approx(
            list(recall_at(trained[own], anchor[own]).values())
        )
        assert found.anchor_to_trained[places].mean(axis=0).tolist() == pytest.approx(
            list(recall_at(anchor[own], trained[own]).values())
        )
    assert found.chance[0].tolist() == pytest.approx([1 / 8, 5 / 8, 1.0])
    figures = retrieval_figures(trained, anchor, speaker)
    assert figures["within_speaker_chance_r1"] == pytest.approx((8 / 8 + 12 / 12) / 20)
    assert "within_speaker_r1" not in retrieval_figures(trained, anchor, np.full(23, -1))


def test_speakers_told_apart_help_over_all_clips_and_not_within() -> None:
    speaker = np.repeat(np.arange(10), 20)
    rng = np.random.default_rng(3)
    who = unit(10, 16, 4)[speaker]

    def noisy() -> NDArray[np.float32]:
        values = who + 0.2 * rng.normal(size=who.shape)
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)

    figures = retrieval_figures(noisy(), noisy(), speaker)
    assert figures["trained_to_anchor_r10"] > 4 * figures["chance_r10"]
    assert figures["within_speaker_trained_to_anchor_r10"] == pytest.approx(0.5, abs=0.1)


def test_permuted_pairings_are_a_null_of_the_true_one() -> None:
    trained = unit(60, 8, 0)
    related, unrelated = unit(60, 8, 1) * 0.8 + trained, unit(60, 8, 2)
    true = retrieved(trained, related.astype(np.float32), permutations=300, seed=5)
    blind = retrieved(trained, unrelated, permutations=300, seed=5)
    for found in (true, blind):
        np.testing.assert_allclose(found.permuted.mean(axis=0), found.chance[0], atol=0.01)
    assert (
        true.permuted[:, 0] >= (true.trained_to_anchor + true.anchor_to_trained)[:, 0].mean() / 2
    ).mean() == 0
    assert (
        0.02
        < (
            blind.permuted[:, 2] >= (blind.trained_to_anchor + blind.anchor_to_trained)[:, 2].mean() / 2
        ).mean()
        < 0.98
    )
    again = retrieved(trained, unrelated, permutations=300, seed=5)
    np.testing.assert_array_equal(again.permuted, blind.permuted)


def test_nothing_to_retrieve() -> None:
    nothing = np.zeros((0, 4), dtype=np.float32)
    found = retrieved(nothing, nothing, permutations=3)
    assert found.trained_to_anchor.shape == (0, 3) and found.permuted.shape == (3, 3)
