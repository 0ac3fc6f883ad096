"""One process of a shared fit, started by `torchrun` or `accelerate launch`: the folder for the result as argument."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import MoonshineConfig
from transformers.models.moonshine.modeling_moonshine import MoonshineEncoder

from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.finetune import LabelledFrames, adapt
from mer.adaptation.processes import AcceleratedProcesses
from mer.encoders.moonshine import LayeredMoonshine
from mer.features.dataset import RaggedTable
from mer.training.checkpoint import Checkpoint
from mer.training.fit_masks import FitMasks
from mer.training.resumable import Resumable


def main(folder: Path) -> None:
    """Fit, and write the first process's history and tensors."""
    torch.set_num_threads(1)
    processes = AcceleratedProcesses()
    torch.manual_seed(0)
    shape = MoonshineConfig(
        hidden_size=32, intermediate_size=64, encoder_num_hidden_layers=3, encoder_num_attention_heads=2,
        encoder_num_key_value_heads=2, decoder_num_attention_heads=2, decoder_num_key_value_heads=2,
    )  # fmt: skip
    encoder = LayeredMoonshine(MoonshineEncoder(shape).eval().to(processes.device))
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(5, 30, size=40))])
    values = rng.normal(size=(offsets[-1], 32)).astype(np.float32)
    frames = RaggedTable(tuple(map(str, range(40))), values, offsets, np.ones(40, dtype=bool))
    train = np.arange(40) < 31  # batches of 10, 10, 10 and 1: a process without a clip among them
    config = AdaptationConfig(
        rank=4,
        epochs=3,
        batch_size=10,
        dropout=0.0,
        head_dropout=0.0,
        time_masks=1,
        feature_masks=1,
        averaging=0.9,
    )
    checkpoint = Checkpoint(folder / "checkpoint")
    labels = rng.integers(0, 3, size=40)
    adaptation = adapt(
        encoder,
        Block(1, 3),
        LabelledFrames(frames, labels, 3),
        FitMasks(train, ~train),
        config,
        Resumable(checkpoint),
        processes,
    )
    name = f"process{processes.rank}of{processes.count}"
    save_file(dict(adaptation.tensors), folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(adaptation.history))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
