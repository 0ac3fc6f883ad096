"""Posteriors of clips by adapters that did not learn from them, found again from files bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.cross_fit import (
    FOLDS,
    LEAST,
    CrossFitted,
    cross_fit,
    load_cross_fitted,
    save_cross_fitted,
)
from mer.adaptation.finetune import LabelledFrames
from mer.adaptation.posteriors_config import AdaptedPosteriors
from mer.encoders.whisper import LayeredWhisper
from mer.errors import ConfigError, WeightsError
from mer.features.dataset import RaggedTable

CLIPS, CLASSES, WIDTH, BLOCK = 30, 3, 16, Block(1, 2)
CONFIG = AdaptationConfig(
    rank=4,
    epochs=12,
    batch_size=8,
    head_dropout=0.0,
    learning_rate=1e-2,
    head_learning_rate=5e-2,
    mask_weight=0.0,
    mask_probability=0.0,
    patience=0,
)
NAMES = [f"clip{row}" for row in range(CLIPS)]


@pytest.fixture(scope="module")
def encoder() -> LayeredWhisper:
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=WIDTH, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32, decoder_layers=0, vocab_size=9,
        pad_token_id=0, init_std=0.2,
    )  # fmt: skip
    return LayeredWhisper(WhisperEncoder(config).eval().requires_grad_(False), WhisperFeatureExtractor())


def table(seed: int, absent: int | None = None) -> RaggedTable:
    """Frames that tell nothing of the labels."""
    draw = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(draw.integers(4, 9, CLIPS))]).astype(np.int64)
    values = draw.standard_normal((offsets[-1], WIDTH)).astype(np.float32)
    return RaggedTable(tuple(NAMES), values, offsets, np.arange(CLIPS) != (-1 if absent is None else absent))


LABELS = np.random.default_rng(1).integers(0, CLASSES, CLIPS)
FOLD = np.arange(CLIPS) % 3


def fitted(
    encoder: LayeredWhisper, labels: np.ndarray, seeds: int = 1, config: AdaptationConfig = CONFIG
) -> CrossFitted:
    fits = cross_fit(
        encoder,
        BLOCK,
        LabelledFrames(table(0), labels, CLASSES),
        FOLD,
        (config, AdaptedPosteriors(folds=3, seeds=seeds)),
    )
    assert len(fits) == 3 * seeds
    return CrossFitted(encoder, BLOCK, CONFIG, fits, dict(zip(NAMES, FOLD.tolist(), strict=True)), 3)


@pytest.fixture(scope="module")
def made(encoder: LayeredWhisper) -> CrossFitted:
    return fitted(encoder, LABELS)


def right(values: np.ndarray) -> float:
    return float((values.argmax(axis=1) == LABELS).mean())


def test_what_was_learnt_by_heart_is_not_given_on(made: CrossFitted) -> None:
    """The labels are drawn by chance: whoever has seen a clip knows it, whoever has not is at chance."""
    unseen = made.log_posteriors([table(0)], NAMES).values
    by_all = made.log_posteriors([table(0)], ["a new one"] * CLIPS).values
    assert right(by_all) > 0.9 and right(unseen) < 0.55
    np.testing.assert_allclose(np.exp(unseen).sum(axis=1), 1, atol=1e-3)
    assert unseen.min() >= np.float32(LEAST)


def test_a_clips_label_changes_nothing_of_its_own_posteriors(
    encoder: LayeredWhisper, made: CrossFitted
) -> None:
    other = fitted(encoder, np.where(FOLD == 0, (LABELS + 1) % CLASSES, LABELS))
    before, after = (one.log_posteriors([table(0)], NAMES).values for one in (made, other))
    np.testing.assert_array_equal(before[FOLD == 0], after[FOLD == 0])
    assert np.abs(before[FOLD != 0] - after[FOLD != 0]).max() > 0.1


def test_seeds_and_speeds_are_averaged(encoder: LayeredWhisper) -> None:
    made = fitted(encoder, LABELS, seeds=2, config=CONFIG.model_copy(update={"epochs": 1}))
    alone = [
        replace(made, fits=made.fits[first::2]).log_posteriors([table(0)], NAMES).values for first in (0, 1)
    ]
    assert np.abs(alone[0] - alone[1]).max() > 1e-2
    mean = np.mean(alone, axis=0)
    mean -= np.log(np.exp(mean).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(made.log_posteriors([table(0)], NAMES).values, mean, atol=1e-4)
    slow = table(5, absent=3)
    both = made.log_posteriors([table(0), slow], NAMES)
    assert both.present.tolist() == slow.present.tolist() and not both.values[3].any()
    once = made.log_posteriors([table(0)], NAMES).values
    assert np.abs(both.values[4] - once[4]).max() > 1e-3


def test_it_is_read_again_bit_for_bit(made: CrossFitted, encoder: LayeredWhisper, tmp_path: Path) -> None:
    save_cross_fitted(tmp_path, made, "sha256:base")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter.json", "adapter.safetensors", FOLDS]
    again = load_cross_fitted(tmp_path, encoder, "sha256:base")
    expected, found = (one.log_posteriors([table(0)], NAMES) for one in (made, again))
    np.testing.assert_array_equal(found.values, expected.values)
    with pytest.raises(WeightsError, match="trained on encoder sha256:base, found another"):
        load_cross_fitted(tmp_path, encoder, "another")
    for record in (
        "nothing",
        json.dumps({"folds": 4, "fold_of": {}}),
        json.dumps({"folds": 3, "fold_of": {"a": 3}}),
    ):
        (tmp_path / FOLDS).write_text(record)
        with pytest.raises(WeightsError, match=FOLDS):
            load_cross_fitted(tmp_path, encoder, "sha256:base")


def test_one_speaker_cannot_be_cross_fitted(encoder: LayeredWhisper) -> None:
    clips = LabelledFrames(table(0), LABELS, CLASSES)
    with pytest.raises(ConfigError, match="at least two speakers"):
        cross_fit(encoder, BLOCK, clips, np.zeros(CLIPS, dtype=np.int64), (CONFIG, AdaptedPosteriors()))
