from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from head_outputs import head_logits
from numpy.typing import NDArray

from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.finetune import (
    Adaptation,
    AdaptedBlock,
    LabelledFrames,
    adapt,
    adapted_features,
    load_adapter,
    save_adapter,
)
from mer.adaptation.merging import merged_encoder
from mer.encoders.moonshine import LayeredMoonshine
from mer.errors import ConfigError, DivergedError, WeightsError
from mer.features.dataset import RaggedTable
from mer.training.checkpoint import Checkpoint
from mer.training.fit_masks import FitMasks
from mer.training.resumable import ONCE, Resumable

Corpus = tuple[RaggedTable, NDArray[np.int64]]
Method = Literal["lora", "dora", "ia3", "bottleneck", "prompt"]
METHODS: tuple[Method, ...] = ("lora", "dora", "ia3", "bottleneck", "prompt")
BLOCK = Block(1, 3)
CONFIG = AdaptationConfig(
    rank=4, epochs=4, batch_size=8, learning_rate=5e-3, head_learning_rate=2e-2, dropout=0.1, max_frames=16
)
TRAIN = np.arange(48) < 36
VALIDATION = ~TRAIN
MASKS = FitMasks(TRAIN, VALIDATION)


def run(
    encoder: Any,
    corpus: Corpus,
    config: AdaptationConfig = CONFIG,
    resume: Resumable = ONCE,
    *,
    masks: FitMasks = MASKS,
    class_count: int = 3,
    variants: Sequence[RaggedTable] = (),
) -> Adaptation:
    clips = LabelledFrames(corpus[0], corpus[1], class_count, variants)
    return adapt(encoder, BLOCK, clips, masks, config, resume)


def same(one: Adaptation, other: Adaptation) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(value, other.tensors[name]) for name, value in one.tensors.items()
    )


@pytest.mark.parametrize("method", METHODS)
def test_adaptation_learns_what_the_frozen_block_does_not_show(
    encoder: LayeredMoonshine, corpus: Corpus, method: Method
) -> None:
    config = CONFIG.model_copy(update={"epochs": 20, "method": method, "patience": 0})
    adaptation = run(encoder, corpus, config)
    first, best = adaptation.history[0], adaptation.history[adaptation.best_epoch]
    assert len(adaptation.history) == 20
    assert best["validation_waf"] > 0.75 and best["validation_waf"] > first["validation_waf"]
    assert adaptation.history[-1]["train_reconstruction"] < 0.9 * first["train_reconstruction"]


class Killed(Exception):
    pass


EVERYTHING = {
    "time_masks": 2, "time_mask_share": 0.2, "feature_masks": 1, "mixup": 0.4, "class_weighting": "balanced",
    "averaging": 0.9, "pooling": "attention",
}  # fmt: skip


def louder(frames: RaggedTable, scale: float) -> RaggedTable:
    """A variant: other values, and every clip two frames longer, as after a change of speed."""
    clips = [
        np.concatenate([part, part[-2:]]) * scale for part in np.split(frames.values, frames.offsets[1:-1])
    ]
    offsets = np.concatenate([[0], np.cumsum([len(clip) for clip in clips])]).astype(np.int64)
    return replace(frames, values=np.concatenate(clips).astype(np.float32), offsets=offsets)


@pytest.mark.slow
@pytest.mark.parametrize("every", ["one", "all"])
def test_with_every_option_a_killed_fit_ends_with_the_same_bits(
    encoder: LayeredMoonshine, corpus: Corpus, tmp_path: Path, every: str
) -> None:
    config = CONFIG.model_validate({**CONFIG.model_dump(), **EVERYTHING, "variants_per_epoch": every})
    variants = [louder(corpus[0], 1.1), louder(corpus[0], 0.9)]
    undisturbed = run(encoder, corpus, config, variants=variants)
    checkpoint = Checkpoint(tmp_path / "checkpoint")

    def kill(epoch: int, of: int) -> None:
        if epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        run(encoder, corpus, config, Resumable(checkpoint, kill), variants=variants)
    torch.manual_seed(12345)
    resumed = run(encoder, corpus, config, Resumable(checkpoint), variants=variants)
    assert same(resumed, undisturbed) and resumed.history == undisturbed.history
    assert undisturbed.history[-1]["skipped_steps"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"time_masks": 2},
        {"feature_masks": 2},
        {"mixup": 0.4},
        {"averaging": 0.9},
        {"pooling": "attention"},
        {"mask_target": "cluster", "clusters": 12},
        {"precision": "bf16"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_option_changes_the_fit_and_still_learns(
    encoder: LayeredMoonshine, corpus: Corpus, change: dict[str, Any]
) -> None:
    config = CONFIG.model_copy(update={"epochs": 15, "patience": 0})
    adaptation = run(encoder, corpus, config.model_copy(update=change))
    assert adaptation.history[adaptation.best_epoch]["validation_waf"] > 0.7
    plain = run(encoder, corpus, config.model_copy(update={"epochs": 1}))
    assert adaptation.history[0]["validation_cross_entropy"] != plain.history[0]["validation_cross_entropy"]


@pytest.mark.slow
def test_variants_are_trained_on(encoder: LayeredMoonshine, corpus: Corpus) -> None:
    """The plain frames say nothing of the class; their variant does, and validation shows it."""
    frames, labels = corpus
    values = frames.values.copy()
    hidden_end = int(frames.offsets[36])
    values[:hidden_end] = np.random.default_rng(0).normal(size=values[:hidden_end].shape)
    blind = replace(frames, values=values)
    config = CONFIG.model_copy(update={"epochs": 20, "patience": 0})
    best = [
        max(epoch["validation_waf"] for epoch in run(encoder, (blind, labels), config, **options).history)
        for options in ({}, {"variants": [frames]})
    ]
    assert best[1] > 0.7 and best[1] > best[0] + 0.15


def test_variants_of_other_clips_are_refused(encoder: LayeredMoonshine, corpus: Corpus) -> None:
    frames = corpus[0]
    other = replace(frames, clip_ids=tuple(reversed(frames.clip_ids)))
    with pytest.raises(ConfigError, match="variant 2"):
        run(encoder, corpus, variants=[frames, other])
    with pytest.raises(ConfigError, match=r"\(32,\), found \(31,\) in variant 1"):
        run(encoder, corpus, variants=[replace(frames, values=frames.values[:, 1:])])


def test_the_own_head_is_read_from_saved_features(
    encoder: LayeredMoonshine, corpus: Corpus, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"epochs": 15, "patience": 0})
    adaptation = run(encoder, corpus, config)
    save_adapter(tmp_path, adaptation, "sha256:base", BLOCK, config)
    block = load_adapter(tmp_path, encoder, "sha256:base")
    logits = head_logits(block, adapted_features(block, corpus[0]))
    assert logits.shape == (48, 3)
    right = float((logits.argmax(axis=1) == corpus[1])[VALIDATION].mean())
    best = adaptation.history[adaptation.best_epoch]
    assert right == pytest.approx(best["validation_uar"])  # the validation clips are balanced


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_fit_ends_with_the_same_bits(
    encoder: LayeredMoonshine, corpus: Corpus, tmp_path: Path, method: Method
) -> None:
    config = CONFIG.model_copy(update={"method": method})
    undisturbed = run(encoder, corpus, config)
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    for stop_after in (1, 3):
        done: list[int] = []

        def kill(epoch: int, of: int, stop_after: int = stop_after, done: list[int] = done) -> None:
            done.append(epoch)
            assert of == 4
            if epoch == stop_after:
                raise Killed

        with pytest.raises(Killed):
            run(encoder, corpus, config, Resumable(checkpoint, kill))
    assert done == [2, 3]  # the second run went on where the first one was
    torch.manual_seed(12345)  # whatever the process drew before
    resumed = run(encoder, corpus, config, Resumable(checkpoint))
    assert same(resumed, undisturbed)
    assert resumed.history == undisturbed.history and resumed.best_epoch == undisturbed.best_epoch


@pytest.mark.slow
def test_the_seed_decides_and_the_callers_generator_is_untouched(
    encoder: LayeredMoonshine, corpus: Corpus
) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = run(encoder, corpus)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    assert same(run(encoder, corpus), one)
    assert not same(run(encoder, corpus, CONFIG.model_copy(update={"seed": 2})), one)


@pytest.mark.slow
def test_a_checkpoint_of_other_options_is_not_used(
    encoder: LayeredMoonshine, corpus: Corpus, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    run(encoder, corpus, CONFIG.model_copy(update={"seed": 9}), Resumable(checkpoint))
    assert same(run(encoder, corpus, resume=Resumable(checkpoint)), run(encoder, corpus))


def test_validation_chooses_the_epoch_and_patience_ends_the_fit(
    encoder: LayeredMoonshine, corpus: Corpus
) -> None:
    frames, labels = corpus
    noise = labels.copy()
    noise[VALIDATION] = np.random.default_rng(0).permutation(labels[VALIDATION])
    config = CONFIG.model_copy(update={"epochs": 30, "patience": 3})
    adaptation = run(encoder, (frames, noise), config)
    scores = [epoch["validation_waf"] for epoch in adaptation.history]
    assert scores[adaptation.best_epoch] == max(scores)
    assert len(scores) == min(adaptation.best_epoch + 4, 30)
    assert len(scores) < 30


def test_without_validation_the_last_epoch_is_kept(encoder: LayeredMoonshine, corpus: Corpus) -> None:
    adaptation = run(encoder, corpus, masks=FitMasks.all_training(TRAIN))
    assert adaptation.best_epoch == 3 and "validation_waf" not in adaptation.history[0]


@pytest.mark.slow
def test_labels_outside_training_are_not_read(encoder: LayeredMoonshine, corpus: Corpus) -> None:
    frames, labels = corpus
    masks = FitMasks.all_training(TRAIN)
    hidden = np.where(TRAIN, labels, -1)
    assert same(run(encoder, (frames, hidden), masks=masks), run(encoder, corpus, masks=masks))


def test_a_few_broken_steps_are_skipped_and_more_end_the_fit(
    encoder: LayeredMoonshine, corpus: Corpus
) -> None:
    frames, labels = corpus
    values = frames.values.copy()
    values[frames.offsets[5]] = np.nan
    broken = replace(frames, values=values)
    adaptation = run(encoder, (broken, labels), CONFIG.model_copy(update={"epochs": 3}))
    assert adaptation.history[-1]["skipped_steps"] == 3.0
    assert all(torch.isfinite(value).all() for value in adaptation.tensors.values())
    with pytest.raises(DivergedError, match="epoch 3"):
        run(encoder, (broken, labels))


def test_a_batch_of_one_and_a_clip_of_one_frame(encoder: LayeredMoonshine, corpus: Corpus) -> None:
    frames, labels = corpus
    values = np.concatenate([frames.values, frames.values[:1]])
    offsets = np.concatenate([frames.offsets, [len(values)]])
    short = RaggedTable((*frames.clip_ids, "short"), values, offsets, np.ones(49, dtype=bool))
    adaptation = run(
        encoder,
        (short, np.append(labels, 1)),
        CONFIG.model_copy(update={"epochs": 1, "batch_size": 1}),
        masks=FitMasks(np.append(TRAIN, True), np.append(VALIDATION, False)),
    )
    assert adaptation.history[0]["skipped_steps"] == 0
    assert all(torch.isfinite(value).all() for value in adaptation.tensors.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": FitMasks(TRAIN & (np.arange(48) % 3 == 0), VALIDATION)}, "fewer than two classes"),
        ({"masks": FitMasks(TRAIN, TRAIN)}, "both `train` and `validation`"),
        ({"masks": FitMasks(TRAIN[:-1], VALIDATION)}, "mask `train`"),
        ({"class_count": 2}, "label 2 with 2 classes"),
    ],
)
def test_what_cannot_work_is_refused(
    encoder: LayeredMoonshine, corpus: Corpus, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(encoder, corpus, **change)


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_adapter_gives_the_same_features(
    encoder: LayeredMoonshine,
    corpus: Corpus,
    tmp_path: Path,
    moonshine_factory: Any,
    method: Method,
) -> None:
    config = CONFIG.model_copy(update={"method": method, "epochs": 2})
    adaptation = run(encoder, corpus, config)
    save_adapter(tmp_path / "adapter", adaptation, "sha256:base", BLOCK, config)
    size = sum(path.stat().st_size for path in (tmp_path / "adapter").iterdir())
    assert size < 4 * sum(p.numel() for p in encoder.module.parameters())
    fresh = moonshine_factory.build()
    first = adapted_features(load_adapter(tmp_path / "adapter", fresh, "sha256:base"), corpus[0])
    assert first.values.shape == (48, 64) and first.present.all()
    again = adapted_features(
        load_adapter(tmp_path / "adapter", encoder, "sha256:base"), corpus[0], batch_size=5
    )
    np.testing.assert_allclose(first.values, again.values, atol=1e-4)
    assert first.clip_ids == corpus[0].clip_ids
    # the naive way: every clip alone, without padding
    block = load_adapter(tmp_path / "adapter", encoder, "sha256:base")
    for row in (0, 17):
        begin, end = corpus[0].offsets[row], corpus[0].offsets[row + 1]
        alone = torch.from_numpy(corpus[0].values[begin:end])[None]
        state = block.layers(alone, torch.ones(1, end - begin, dtype=torch.bool))[0].detach().numpy()
        expected = np.concatenate([state.mean(axis=0), state.std(axis=0)])
        np.testing.assert_allclose(first.values[row], expected, atol=1e-4)


def test_silent_clips_stay_absent(encoder: LayeredMoonshine, corpus: Corpus, tmp_path: Path) -> None:
    frames, labels = corpus
    gone = replace(frames, present=np.arange(48) != 7)
    adaptation = run(encoder, (gone, labels), CONFIG.model_copy(update={"epochs": 1}))
    save_adapter(tmp_path, adaptation, "sha256:base", BLOCK, CONFIG)
    table = adapted_features(load_adapter(tmp_path, encoder, "sha256:base"), gone)
    assert not table.present[7] and not table.values[7].any() and table.values[6].any()


def test_an_adapter_on_another_base_or_damaged_is_refused(
    encoder: LayeredMoonshine, corpus: Corpus, tmp_path: Path
) -> None:
    save_adapter(
        tmp_path, run(encoder, corpus, CONFIG.model_copy(update={"epochs": 1})), "sha256:base", BLOCK, CONFIG
    )
    load_adapter(tmp_path, encoder, "sha256:base")
    with pytest.raises(WeightsError, match="sha256:other"):
        load_adapter(tmp_path, encoder, "sha256:other")
    damaged = bytearray((tmp_path / "adapter.safetensors").read_bytes())
    damaged[-3] ^= 1
    (tmp_path / "adapter.safetensors").write_bytes(damaged)
    with pytest.raises(WeightsError, match="sha256 differs"):
        load_adapter(tmp_path, encoder, "sha256:base")
    (tmp_path / "adapter.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        load_adapter(tmp_path, encoder, "sha256:base")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "dora", "ia3"])
def test_saved_loaded_and_merged_differ_by_nothing(
    encoder: LayeredMoonshine, corpus: Corpus, tmp_path: Path, moonshine_factory: Any, method: Method
) -> None:
    """In memory or through files, separate or merged: equal bits; separate against merged: rounding."""
    config = CONFIG.model_copy(update={"method": method, "epochs": 2})
    adaptation = run(encoder, corpus, config)
    kept = AdaptedBlock(encoder, BLOCK, config, 3)
    kept.load_small_tensors(adaptation.tensors)
    save_adapter(tmp_path, adaptation, "sha256:base", BLOCK, config)
    loaded = load_adapter(tmp_path, moonshine_factory.build(), "sha256:base")
    one, other = adapted_features(kept, corpus[0]), adapted_features(loaded, corpus[0])
    assert np.array_equal(one.values, other.values)
    merged, merged_again = merged_encoder(kept.layers), merged_encoder(loaded.layers)
    waveform = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    for wanted in (BLOCK.start, BLOCK.stop):
        first, second = merged.states(waveform, [wanted])[0], merged_again.states(waveform, [wanted])[0]
        assert torch.equal(first, second)
    prefix = encoder.states(waveform, [BLOCK.start])[0][None]
    with torch.inference_mode():
        separate = loaded.layers(prefix, torch.ones(prefix.shape[:2], dtype=torch.bool))[0]
    difference = float((first - separate).abs().max() / separate.abs().max())
    assert difference < 1e-5
    frozen = encoder.states(waveform, [BLOCK.stop])[0]
    assert float((frozen - separate).abs().max()) > 1e-3
