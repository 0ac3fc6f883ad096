"""Training of a block from its cached frozen prefix against the same training without the cache, and block against all layers.

    python -m benchmarks.full_size.cached_prefix [--quick] [--clips 24] [--epochs 2] [--device cpu] [--json PATH]

The encoder has HuBERT-large's shape (24 layers, width 1024, random weights), the block is layers 16-21, the clips are short
noise, LoRA of rank 16 with masked reconstruction. `uncached` runs the convolutions and the layers below the block anew for
every batch, as a training loop on waveforms does, and is otherwise the same fit: both make the same steps, so their losses must
agree. `all_layers` adapts all 24 layers from the cached output of the convolutions. `--quick` takes width 256 and fewer clips.
`--device cuda` adds the same with bf16 (`all_layers_bf16`) and with gradient checkpointing (`all_layers_checkpointed`), and the
peak of the GPU's memory for each (`<name>_peak_bytes`); there the clock counts, and TF32 is off.

JSON keys: `cached_epoch_seconds`, `uncached_epoch_seconds`, `all_layers_epoch_seconds` (processor seconds of the last epoch, all
threads: other work on the machine disturbs them less), with `_wall` what a clock says; `speedup` and `speedup_wall` (uncached by
cached), `largest_loss_difference` (over epochs, of both losses, cached against uncached), `prefix_seconds` (computing the cache
once, processor seconds), `block_time_share`, `block_parameter_share` (of all-layer adaptation), `block_parameters`,
`all_parameters` (trainable, adapters only), `layers`, `width`, `clips`, `frames`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.command import parser, write_figures

if TYPE_CHECKING:
    from mer.adaptation.fit import Fit
    from mer.encoders.wav2vec_family import LayeredWav2Vec
    from mer.features.dataset import RaggedTable

LAYERS, FULL_WIDTH, QUICK_WIDTH = 24, 1024, 256
BLOCK = (16, 22)
"""Layers 16 to 21."""
CLASSES = 6


@dataclass(frozen=True)
class Run:
    """Figures of one fit."""

    history: list[dict[str, float]]
    cpu: float
    """Processor seconds of the last epoch."""
    wall: float
    """Seconds of the last epoch."""
    parameters: int
    """Trainable parameters of the adapters."""
    peak_bytes: int
    """Most memory of the GPU; 0 on the processor."""


def main() -> None:
    """Measure, print and write the figures."""
    made = parser(__doc__ or "")
    made.add_argument("--clips", type=int, default=24, help="training clips of 1 to 1.6 seconds")
    made.add_argument("--epochs", type=int, default=2, help="epochs of each fit; the last one is timed")
    made.add_argument("--device", default="cpu", help="as torch names it: cpu, cuda")
    options = made.parse_args()
    width = QUICK_WIDTH if options.quick else FULL_WIDTH
    clips = min(options.clips, 12) if options.quick else options.clips
    encoder, waveforms = large_encoder(width, options.device), noise(clips)
    started = time.process_time()
    prefix = cached(encoder, waveforms, BLOCK[0])
    prefix_seconds = time.process_time() - started
    whole_prefix, every = cached(encoder, waveforms, 0), (0, LAYERS)
    runs = {
        "cached": train(encoder, BLOCK, prefix, None, options.epochs),
        "uncached": train(encoder, BLOCK, prefix, waveforms, options.epochs),
        "all_layers": train(encoder, every, whole_prefix, None, options.epochs),
    }
    if encoder.placement.on_gpu:
        for name, change in (
            ("bf16", {"precision": "bf16"}),
            ("checkpointed", {"gradient_checkpointing": True}),
        ):
            runs[f"all_layers_{name}"] = train(encoder, every, whole_prefix, None, options.epochs, **change)
    figures: dict[str, float | int] = {f"{name}_epoch_seconds": run.cpu for name, run in runs.items()}
    figures |= {f"{name}_epoch_seconds_wall": run.wall for name, run in runs.items()}
    if encoder.placement.on_gpu:
        figures |= {f"{name}_peak_bytes": run.peak_bytes for name, run in runs.items()}
    one, other, whole = runs["cached"], runs["uncached"], runs["all_layers"]
    figures |= {
        "speedup": other.cpu / one.cpu,
        "speedup_wall": other.wall / one.wall,
        "largest_loss_difference": loss_difference(one, other),
        "prefix_seconds": prefix_seconds,
        "block_time_share": one.cpu / whole.cpu,
        "block_parameter_share": one.parameters / whole.parameters,
        "block_parameters": one.parameters,
        "all_parameters": whole.parameters,
        "layers": LAYERS,
        "width": width,
        "clips": clips,
        "frames": int(prefix.offsets[-1]),
    }
    for name, value in figures.items():
        print(f"{name:32} {value:.6g}")
    write_figures(options.json, figures)


def large_encoder(width: int, device: str) -> LayeredWav2Vec:
    """HuBERT-large's shape with seeded random weights (narrower where asked)."""
    import torch
    from transformers import HubertConfig, HubertModel

    from mer.encoders.placement import Placement
    from mer.encoders.wav2vec_family import LayeredWav2Vec

    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": LAYERS, "num_attention_heads": width // 64,
        "do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True,
    }  # fmt: skip
    model = HubertModel(HubertConfig(**shape)).eval().to(device)
    return LayeredWav2Vec(model, normalise=True, placement=Placement(device))


def noise(clips: int) -> list[Any]:
    """Waveforms of 1 to 1.6 seconds, and a quarter as many again to choose the epoch by."""
    import torch

    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(16_000, 25_600, (clips + max(clips // 4, 2),), generator=generator).tolist()
    return [torch.randn(length, generator=generator) for length in lengths]


def cached(encoder: LayeredWav2Vec, waveforms: Sequence[Any], layer: int) -> RaggedTable:
    """Hidden state `layer` of all clips, computed once."""
    import numpy as np

    from mer.features.dataset import RaggedTable

    frames = [encoder.states(encoder.prepared(waveform), [layer])[0].cpu().numpy() for waveform in waveforms]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in frames])]).astype(np.int64)
    ids = tuple(f"clip{i}" for i in range(len(frames)))
    return RaggedTable(ids, np.concatenate(frames), offsets, np.ones(len(frames), dtype=bool))


def train(
    encoder: LayeredWav2Vec,
    layers: tuple[int, int],
    prefix: RaggedTable,
    waveforms: Sequence[Any] | None,
    epochs: int,
    **change: Any,
) -> Run:
    """Fit the layers; with `waveforms` their frames are computed anew for every batch."""
    import numpy as np
    import torch

    from mer.adaptation.block import Block
    from mer.adaptation.config import AdaptationConfig
    from mer.adaptation.fit import Fit
    from mer.adaptation.fit_clips import FitClips, LabelledFrames
    from mer.training.fit_masks import FitMasks

    clips = len(prefix.clip_ids)
    held_out = np.arange(clips) >= clips - max(clips // 5, 2)
    config = AdaptationConfig(epochs=epochs, batch_size=8, head_dropout=0.0, **change)
    device = torch.device(encoder.placement.device)
    if encoder.placement.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    own = replace(prefix, values=prefix.values.copy())
    data = FitClips.of(
        LabelledFrames(own, np.arange(clips) % CLASSES, CLASSES), FitMasks(~held_out, held_out), device
    )
    block = Block(*layers)
    fit = (
        Fit(encoder, block, data, CLASSES, config)
        if waveforms is None
        else _live(encoder, block, data, config, waveforms)
    )
    for _ in range(epochs):
        wall, cpu = time.perf_counter(), time.process_time()
        fit.run_epoch()
        if encoder.placement.on_gpu:
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    trainable = fit.adapted.layers.trainable.values()
    peak = torch.cuda.max_memory_allocated() if encoder.placement.on_gpu else 0
    return Run(fit.history, cpu, wall, sum(parameter.numel() for parameter in trainable), peak)


def _live(encoder: LayeredWav2Vec, block: Any, data: Any, config: Any, waveforms: Sequence[Any]) -> Fit:
    """The fit without a cache: what it reads of a batch is computed from the waveforms just before."""
    from torch import Tensor

    from mer.adaptation.fit import Fit

    class LiveFit(Fit):
        def _gradients(self, plan: Any) -> Tensor:
            self._compute(plan.rows)
            return super()._gradients(plan)

        def _validate(self) -> dict[str, float]:
            rows = self.clips.validation
            for begin in range(0, len(rows), config.batch_size):
                self._compute(rows[begin : begin + config.batch_size])
            return super()._validate()

        def _compute(self, rows: Any) -> None:
            store = self.clips.store
            prepared = [encoder.prepared(waveforms[row]) for row in rows]
            for row, (frames,) in zip(rows, encoder.states_of_batch(prepared, [block.start]), strict=True):
                store.values[store.offsets[row] : store.offsets[row + 1]] = frames

    fit = LiveFit(encoder, block, data, CLASSES, config)
    data.store.values.fill_(float("nan"))  # from here on nothing cached is read
    return fit


def loss_difference(one: Run, other: Run) -> float:
    """Largest difference of a loss in any epoch."""
    names = ("train_cross_entropy", "train_reconstruction", "validation_cross_entropy")
    return max(
        abs(first[name] - second[name])
        for first, second in zip(one.history, other.history, strict=True)
        for name in names
    )


if __name__ == "__main__":
    main()
