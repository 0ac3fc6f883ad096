"""Fits side by side end where fits alone end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_outputs import head_logits
from transformers import MoonshineConfig
from transformers.models.moonshine.modeling_moonshine import MoonshineEncoder

from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.finetune import LabelledFrames, adapt
from mer.adaptation.stack.fits import Split, adapt_stack, stacked_logits
from mer.encoders.moonshine import LayeredMoonshine
from mer.errors import ConfigError, DivergedError
from mer.features.dataset import RaggedTable
from mer.training.fit_masks import FitMasks

CLIPS, CLASSES, BLOCK = 50, 3, Block(1, 3)
PLAIN = AdaptationConfig(rank=4, epochs=3, batch_size=8, head_dropout=0.0, learning_rate=3e-3, patience=0)
FULL = {
    "time_masks": 2,
    "time_mask_share": 0.3,
    "feature_masks": 1,
    "mixup": 0.3,
    "averaging": 0.9,
    "class_weighting": "balanced",
}


@pytest.fixture(scope="module")
def encoder() -> LayeredMoonshine:
    torch.manual_seed(0)
    config = MoonshineConfig(
        hidden_size=32,
        intermediate_size=64,
        encoder_num_hidden_layers=4,
        encoder_num_attention_heads=4,
        encoder_num_key_value_heads=4,
        decoder_num_hidden_layers=1,
        vocab_size=64,
    )
    return LayeredMoonshine(MoonshineEncoder(config).eval())


def tables(count: int, seed: int = 0) -> tuple[list[RaggedTable], np.ndarray, list[Split]]:
    """Frames of the same clips in several variants, labels, and three splits of unequal size."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(5, 20, CLIPS))])
    made = [
        RaggedTable(
            clip_ids=tuple(f"clip{i}" for i in range(CLIPS)),
            values=rng.standard_normal((offsets[-1], 32)).astype(np.float32),
            offsets=offsets,
            present=np.ones(CLIPS, dtype=bool),
        )
        for _ in range(count)
    ]
    splits = [Split(rng.random(CLIPS) < share, seed) for seed, share in enumerate((0.7, 0.7, 0.4), start=1)]
    return made, rng.integers(0, CLASSES, CLIPS), splits


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "dora", "bottleneck", "ia3", "prompt"])
@pytest.mark.parametrize("pooling", ["mean_std", "attention"])
def test_a_stack_ends_where_each_fit_alone_ends(encoder: LayeredMoonshine, method: str, pooling: str) -> None:
    (frames, variant), labels, splits = tables(2)
    config = AdaptationConfig.model_validate(
        PLAIN.model_dump() | FULL | {"method": method, "pooling": pooling}
    )
    clips = LabelledFrames(frames, labels, CLASSES, [variant])
    together = adapt_stack(encoder, BLOCK, clips, splits, config)
    for split, one in zip(splits, together, strict=True):
        own = config.model_copy(update={"seed": split.seed})
        alone = adapt(encoder, BLOCK, clips, FitMasks.all_training(split.train), own)
        assert set(one.tensors) == set(alone.tensors)
        for name, value in alone.tensors.items():
            torch.testing.assert_close(one.tensors[name], value, atol=3e-5, rtol=1e-4)
        for name in ("train_cross_entropy", "train_reconstruction"):
            assert one.history[-1][name] == pytest.approx(alone.history[-1][name], abs=1e-5)


def test_seeds_and_splits_differ(encoder: LayeredMoonshine) -> None:
    (frames,), labels, splits = tables(1)
    config = PLAIN.model_copy(update={"head_dropout": 0.3, "dropout": 0.1})
    again = [splits[0], Split(splits[0].train, 9), splits[0]]
    first, other, twin = adapt_stack(encoder, BLOCK, LabelledFrames(frames, labels, CLASSES), again, config)
    assert not torch.equal(first.tensors["head/classify.weight"], other.tensors["head/classify.weight"])
    # dropout is drawn for each fit of a stack on its own, also where all else is the same
    assert not torch.equal(first.tensors["head/classify.weight"], twin.tensors["head/classify.weight"])


def test_logits_of_a_stack_are_those_of_each_block(encoder: LayeredMoonshine) -> None:
    from mer.adaptation.adapted_block import AdaptedBlock
    from mer.adaptation.finetune import adapted_features

    (frames,), labels, splits = tables(1)
    together = adapt_stack(encoder, BLOCK, LabelledFrames(frames, labels, CLASSES), splits, PLAIN)
    found = stacked_logits(encoder, BLOCK, together, PLAIN, frames)
    for number, one in enumerate(together):
        block = AdaptedBlock(encoder, BLOCK, PLAIN, CLASSES)
        block.load_small_tensors(one.tensors)
        alone = head_logits(block, adapted_features(block, frames))
        np.testing.assert_allclose(found[number], alone, atol=1e-4)


def test_clips_that_are_no_split_s_change_nothing(encoder: LayeredMoonshine) -> None:
    (frames,), labels, splits = tables(1)
    unseen = ~np.any([split.train for split in splits], axis=0)
    assert unseen.any()
    before = adapt_stack(encoder, BLOCK, LabelledFrames(frames, labels, CLASSES), splits, PLAIN)
    shuffled = np.where(unseen, (labels + 1) % CLASSES, labels)
    after = adapt_stack(encoder, BLOCK, LabelledFrames(frames, shuffled, CLASSES), splits, PLAIN)
    for one, two in zip(before, after, strict=True):
        assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)


def test_a_fit_that_diverges_ends_with_a_typed_error(encoder: LayeredMoonshine) -> None:
    (frames,), labels, splits = tables(1)
    values = np.array(frames.values)
    poisoned = int(np.flatnonzero(splits[0].train)[0])
    values[frames.offsets[poisoned]] = np.nan
    broken = RaggedTable(frames.clip_ids, values, frames.offsets, frames.present)
    with pytest.raises(DivergedError, match="fit 0 of"):
        adapt_stack(
            encoder,
            BLOCK,
            LabelledFrames(broken, labels, CLASSES),
            splits[:1],
            PLAIN.model_copy(update={"epochs": 8, "batch_size": 64}),
        )


def test_options_of_a_fit_of_its_own_are_refused(encoder: LayeredMoonshine) -> None:
    (frames,), labels, splits = tables(1)
    for change in ({"mask_target": "cluster"}, {"gradient_checkpointing": True}):
        with pytest.raises(ConfigError, match="adapt_stack"):
            adapt_stack(
                encoder,
                BLOCK,
                LabelledFrames(frames, labels, CLASSES),
                splits,
                PLAIN.model_copy(update=change),
            )
    with pytest.raises(ConfigError, match="splits"):
        adapt_stack(encoder, BLOCK, LabelledFrames(frames, labels, CLASSES), [], PLAIN)
