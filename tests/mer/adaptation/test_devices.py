"""A fit where the frozen encoder is: frames, targets and batches stay there, and what is saved is read anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from head_outputs import head_logits
from numpy.typing import NDArray

from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.finetune import LabelledFrames, adapt, adapted_features, load_adapter, save_adapter
from mer.encoders.moonshine import LayeredMoonshine
from mer.encoders.placement import Placement
from mer.features.dataset import RaggedTable
from mer.training.checkpoint import Checkpoint
from mer.training.fit_masks import FitMasks
from mer.training.resumable import Resumable

BLOCK = Block(1, 3)
CONFIG = AdaptationConfig(
    rank=4, epochs=6, patience=0, batch_size=8, learning_rate=5e-3, head_learning_rate=2e-2, head_dropout=0.0,
    time_masks=1, feature_masks=1, mixup=0.3, averaging=0.9, pooling="attention", class_weighting="balanced",
)  # fmt: skip


class Killed(Exception):
    pass


def moved(encoder: LayeredMoonshine, device: str) -> LayeredMoonshine:
    encoder.module.to(device)
    encoder.placement = Placement(device)
    return encoder


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("target", ["regression", "cluster"])
def test_a_fit_in_bf16_with_checkpointing_goes_on_and_is_read_on_the_processor(
    encoder: LayeredMoonshine,
    corpus: tuple[RaggedTable, NDArray[np.int64]],
    tmp_path: Path,
    device: str,
    target: str,
) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no accelerator that torch can use")
    config = CONFIG.model_validate(
        {
            **CONFIG.model_dump(),
            "mask_target": target,
            "clusters": 8,
            "precision": "bf16",
            "gradient_checkpointing": True,
        }
    )
    frames, labels = corpus
    train = np.arange(48) < 36
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    clips, masks = LabelledFrames(frames, labels, 3, [frames]), FitMasks(train, ~train)

    def kill(epoch: int, of: int) -> None:
        if epoch == 3:
            raise Killed

    placed = moved(encoder, device)
    with pytest.raises(Killed):
        adapt(placed, BLOCK, clips, masks, config, Resumable(checkpoint, kill))
    done = adapt(placed, BLOCK, clips, masks, config, Resumable(checkpoint))
    assert len(done.history) == 6 and done.history[-1]["skipped_steps"] == 0
    assert done.history[-1]["train_cross_entropy"] < 0.9 * done.history[0]["train_cross_entropy"]
    assert all(value.device.type == "cpu" for value in done.tensors.values())
    save_adapter(tmp_path / "adapter", done, "sha256:base", BLOCK, config)
    there = load_adapter(tmp_path / "adapter", placed, "sha256:base")
    features = adapted_features(there, frames)
    logits = head_logits(there, features)
    here = adapted_features(load_adapter(tmp_path / "adapter", moved(encoder, "cpu"), "sha256:base"), frames)
    np.testing.assert_allclose(here.values, features.values, atol=2e-3, rtol=2e-3)
    right = float((logits.argmax(axis=1) == labels)[~train].mean())
    assert right == pytest.approx(
        done.history[done.best_epoch]["validation_uar"], abs=0.17
    )  # bf16 against fp32


@pytest.mark.gpu
def test_the_losses_of_a_fit_are_those_of_the_processor(
    encoder: LayeredMoonshine, corpus: tuple[RaggedTable, NDArray[np.int64]]
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no accelerator that torch can use")
    config = CONFIG.model_copy(update={"epochs": 2})
    train = np.arange(48) < 36
    histories = [
        adapt(
            moved(encoder, device), BLOCK, LabelledFrames(*corpus, 3), FitMasks(train, ~train), config
        ).history
        for device in ("cpu", "cuda")
    ]
    for here, there in zip(*histories, strict=True):
        assert there["train_cross_entropy"] == pytest.approx(here["train_cross_entropy"], abs=1e-3)
        assert there["train_reconstruction"] == pytest.approx(here["train_reconstruction"], abs=1e-3)
