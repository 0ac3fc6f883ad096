"""The study under attention and statistics pooling: the planted block, bounded memory, and the nested choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from planted_frames import PlantedFrames, planted

from mer.adaptation.block import Block
from mer.errors import ConfigError
from mer.examples import Examples
from mer.features.dataset import FeatureTable, RaggedTable
from mer.layer_study.config import LayerStudyConfig
from mer.layer_study.scores import LayerStudy
from mer.layer_study.study import (
    FramedStates,
    PooledStates,
    study_layer_frames,
    study_layers,
    study_training_clips,
)
from mer.training.partition import Partition, partitions

CONFIG = LayerStudyConfig(seeds=2, resamples=500, pooling="attention")
QUICK = LayerStudyConfig(
    folds=3, seeds=1, resamples=200, pooling="attention", attention_steps=20, weighting_steps=20
)


def studied(corpus: PlantedFrames, pooling: str, config: LayerStudyConfig = CONFIG) -> LayerStudy:
    if pooling == "statistics":
        return study_layers(corpus.statistics(), corpus.labels, corpus.speakers, config)
    return study_layer_frames(len(corpus.layers), corpus.frames, corpus.labels, corpus.speakers, config)


def draw(seed: int) -> tuple[PlantedFrames, Block]:
    """12 hidden states, emotion in three neighbours (one of them weaker)."""
    start = 1 + seed % 8
    strength = np.full(12, 0.15)
    strength[start + 1 : start + 4] = (0.5, 0.6, 0.4)
    return planted(tuple(strength), seed=seed), Block(start, start + 3)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["attention", "statistics"])
@pytest.mark.parametrize("seed", [0, 5])
def test_the_planted_block_is_found(pooling: str, seed: int) -> None:
    corpus, block = draw(seed)
    study = studied(corpus, pooling)
    assert study.best_block == block
    assert study.scores.shape == (12, 10) and (study.low < study.mean).all()


@pytest.mark.slow
@pytest.mark.parametrize("pooling", [pytest.param("attention", marks=pytest.mark.nightly), "statistics"])
def test_a_planted_block_is_found_in_nearly_every_draw(pooling: str) -> None:
    found = []
    for seed in range(20):
        corpus, block = draw(seed)
        found.append(studied(corpus, pooling).best_block == block)
    assert sum(found) >= 19, found


def test_attention_gains_where_few_frames_tell() -> None:
    corpus = planted((0.1, 0.5, 0.4))
    by_mean = study_layers(corpus.means(), corpus.labels, corpus.speakers, CONFIG)
    assert studied(corpus, "attention").mean[1] > by_mean.mean[1] + 0.05


def test_without_emotion_no_layer_is_above_chance() -> None:
    study = studied(planted((0.0, 0.0, 0.0)), "attention")
    assert (study.low < 0.25).all() and (study.mean < 0.33).all()


def test_little_memory_changes_turns_and_not_scores() -> None:
    corpus = planted((0.2, 0.5, 0.3, 0.4))
    read: list[int] = []

    def watched(layer: int) -> RaggedTable:
        read.append(layer)
        return corpus.frames(layer)

    little = QUICK.model_copy(update={"memory_gib": 1e-6})
    turns: list[tuple[int, int]] = []
    one_by_one = study_layer_frames(
        4, watched, corpus.labels, corpus.speakers, little, lambda *done: turns.append(done)
    )
    assert read == [0, 1, 2, 3] and turns == [(1, 4), (2, 4), (3, 4), (4, 4)]
    together = studied(corpus, "attention", QUICK)
    np.testing.assert_allclose(one_by_one.scores, together.scores, atol=0.02)
    pooled = [studied(corpus, "statistics", config).scores for config in (little, QUICK)]
    np.testing.assert_allclose(*pooled, atol=0.02)


def test_clips_without_label_are_refused() -> None:
    corpus = planted((0.1, 0.5))
    labels = np.where(np.arange(len(corpus.labels)) == 3, -1, corpus.labels)
    with pytest.raises(ConfigError, match="label for every clip"):
        study_layer_frames(2, corpus.frames, labels, corpus.speakers, QUICK)
    with pytest.raises(ConfigError, match="at least 2 hidden states"):
        study_layer_frames(1, corpus.frames, corpus.labels, corpus.speakers, QUICK)


class Store:
    """The planted clips as a feature store that remembers what it was asked for."""

    def __init__(self, corpus: PlantedFrames) -> None:
        self.corpus, self.asked = corpus, set[str]()

    def pooled(self, clip_ids: Sequence[str]) -> FeatureTable:
        self.asked |= set(clip_ids)
        rows = [int(clip_id[1:]) for clip_id in clip_ids]
        table = self.corpus.statistics_table()
        present = np.array([row % 40 != 1 for row in rows])  # some clips lack the stream
        return FeatureTable(tuple(clip_ids), table.values[rows], present)

    def frames(self, layer: int, clip_ids: Sequence[str]) -> RaggedTable:
        self.asked |= set(clip_ids)
        rows = [int(clip_id[1:]) for clip_id in clip_ids]
        own = [
            self.corpus.layers[layer][self.corpus.offsets[row] : self.corpus.offsets[row + 1]] for row in rows
        ]
        offsets = np.cumsum([0, *(len(one) for one in own)]).astype(np.int64)
        present = np.array([row % 40 != 1 for row in rows])
        return RaggedTable(tuple(clip_ids), np.concatenate(own)[:, None], offsets, present)


CORPUS = planted((0.2, 0.5, 0.6, 0.3))


def view_of(labels: np.ndarray) -> tuple[Examples, Partition]:
    """Outer fold 0 of 3, speakers whole."""
    count = len(labels)
    examples = Examples(
        clip_ids=CORPUS.clip_ids,
        emotion=labels,
        valence=np.full(count, np.nan, dtype=np.float32),
        speaker=tuple(CORPUS.speakers),
        fold=np.repeat(np.arange(12), 20) % 3,
        weight=np.ones(count, dtype=np.float32),
    )
    views = partitions(examples, np.zeros(count, dtype=bool), validation_share=0.2, seed=7)
    return examples, views["fold0"]


def nested(examples: Examples, partition: Partition, pooling: str, store: Store | None = None) -> LayerStudy:
    store = store or Store(CORPUS)
    states = (
        PooledStates(store.pooled)
        if pooling == "statistics"
        else FramedStates(len(CORPUS.layers), store.frames)
    )
    return study_training_clips(examples, partition, states, QUICK)


@pytest.mark.parametrize("pooling", ["attention", "statistics"])
def test_the_choice_is_nested(pooling: str) -> None:
    """Labels and speakers of the scored fold and of the validation clips change nothing; those of training clips do."""
    examples, partition = view_of(CORPUS.labels)
    store = Store(CORPUS)
    study = nested(examples, partition, pooling, store)
    training = {examples.clip_ids[row] for row in np.flatnonzero(partition.train)}
    assert store.asked == training, "another clip's features were read"

    rng = np.random.default_rng(0)
    for others in (partition.test, partition.validation):
        assert others.any()
        labels = CORPUS.labels.copy()
        labels[others] = rng.permutation(labels[others])
        assert (labels != CORPUS.labels).any()
        who = tuple("someone" if other else name for other, name in zip(others, CORPUS.speakers, strict=True))
        changed = replace(examples, emotion=labels, speaker=who)
        assert nested(changed, partition, pooling).to_json() == study.to_json()
    labels = CORPUS.labels.copy()
    labels[partition.train] = rng.permutation(labels[partition.train])
    assert nested(replace(examples, emotion=labels), partition, pooling).mean.max() < study.mean.max() - 0.1
