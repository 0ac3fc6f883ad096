from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mer.alignment.retrieval import chance_level, recall_at, retrieval_figures


def unit(rows: int, features: int, seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=(rows, features))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_equals_sorting_each_query() -> None:
    queries, gallery = unit(40, 5, 0), unit(40, 5, 1) + unit(40, 5, 0)
    naive = {1: 0, 5: 0, 10: 0}
    for i in range(40):
        order = np.argsort(-(gallery @ queries[i]))
        for k in naive:
            naive[k] += int(i in order[:k])
    assert recall_at(queries, gallery) == {k: count / 40 for k, count in naive.items()}


def test_a_perfect_and_a_blind_model() -> None:
    vectors = unit(30, 16, 2)
    assert set(recall_at(vectors, vectors).values()) == {1.0}
    blind = np.tile(vectors[:1], (30, 1))
    assert recall_at(blind, blind) == pytest.approx(chance_level(30))


def test_unrelated_spaces_are_at_chance() -> None:
    recalls = [recall_at(unit(100, 8, seed), unit(100, 8, 1000 + seed)) for seed in range(30)]
    for k, chance in chance_level(100).items():
        assert np.mean([recall[k] for recall in recalls]) == pytest.approx(chance, abs=0.01)


def test_figures_are_named_both_ways() -> None:
    queries, gallery = unit(20, 4, 0), unit(20, 4, 1)
    figures = retrieval_figures(queries, gallery)
    assert figures["retrieval_clips"] == 20 and figures["chance_r5"] == 0.25
    assert figures["video_to_audio_r5"] == recall_at(queries, gallery)[5]
    assert figures["audio_to_video_r5"] == recall_at(gallery, queries)[5]
    nothing = np.zeros((0, 4), dtype=np.float32)
    assert retrieval_figures(nothing, nothing)["chance_r1"] == 0.0
