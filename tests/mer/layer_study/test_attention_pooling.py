"""Attention pooling against a plain reference, its masks, and what each query may see."""

from __future__ import annotations

import numpy as np
import torch
from planted_frames import CLASSES, planted

from mer.layer_study.attention_pooling import QueryTraining, learn_queries, pool, pooled_clips
from mer.layer_study.frames import LayerFrames, layer_frames

HOW = QueryTraining(l2=0.1, steps=40, batch_size=64, learning_rate=0.03, seed=1)
CORPUS = planted((0.2, 0.6, 0.4))


def frames(layers: slice = slice(None)) -> LayerFrames:
    return layer_frames(CORPUS.layers[layers], CORPUS.offsets, 100)


def training() -> torch.Tensor:
    clips = torch.arange(len(CORPUS.labels))
    return torch.stack([clips % 4 != run for run in range(3)])


def learned(held: LayerFrames, labels: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
    return learn_queries(held, labels, train, CLASSES, HOW)


def test_pooling_is_the_weighted_mean_of_real_frames() -> None:
    generator = torch.Generator().manual_seed(0)
    values, queries = torch.randn(2, 3, 5, 4, generator=generator), torch.randn(2, 6, 4, generator=generator)
    lengths = (5, 1, 3)
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    spoilt = torch.where(
        mask[..., None], values, torch.full_like(values, 1e4)
    )  # what padding holds must not matter
    found = pool(spoilt, mask, queries)
    for layer in range(2):
        for run in range(6):
            for clip, length in enumerate(lengths):
                own = values[layer, clip, :length].numpy().astype(np.float64)
                weight = np.exp(own @ queries[layer, run].numpy() / 2)  # the root of the width
                expected = (weight[:, None] * own).sum(axis=0) / weight.sum()
                np.testing.assert_allclose(found[layer, run, clip].numpy(), expected, atol=1e-5)


def test_a_query_of_zero_gives_the_mean() -> None:
    held = frames()
    found = pooled_clips(held, torch.zeros(3, 1, 16))
    torch.testing.assert_close(found[:, 0], held.means(), atol=1e-5, rtol=0)


def test_queries_find_the_telling_frames() -> None:
    held = frames(slice(1, 2))
    query = learned(held, torch.from_numpy(CORPUS.labels), training())[0, 0]
    scores = held.values[0].float() @ query
    marked = torch.zeros(len(scores), dtype=torch.bool)
    marked[torch.from_numpy(CORPUS.offsets[:-1])] = True  # the first frame of every clip tells
    rest = torch.ones_like(marked)
    rest[torch.from_numpy(CORPUS.offsets[:-1])] = False
    assert scores[marked].mean() > scores[rest].mean() + 1.0


def test_layers_and_runs_do_not_touch_each_other() -> None:
    labels, train = torch.from_numpy(CORPUS.labels), training()
    together = learned(frames(), labels, train)
    torch.testing.assert_close(learned(frames(slice(2, 3)), labels, train)[0], together[2], atol=1e-4, rtol=0)
    torch.testing.assert_close(learned(frames(), labels, train[1:2])[:, 0], together[:, 1], atol=1e-4, rtol=0)


def test_held_out_labels_change_no_query() -> None:
    labels, train = torch.from_numpy(CORPUS.labels), training()[:1]
    other = torch.where(train[0], labels, (labels + 1) % CLASSES)
    assert torch.equal(learned(frames(), labels, train), learned(frames(), other, train))
    seen = torch.where(train[0], (labels + 1) % CLASSES, labels)
    seen[::3] = labels[::3]
    assert not torch.equal(learned(frames(), labels, train), learned(frames(), seen, train))
