"""Shape-and-memory check of the full-size encoders: one adaptation step of each, and what the real sizes cost.

Each encoder is built at its published width with random weights, by default two layers deep, in a process of its own;
the prefix is computed, one step of the adaptation is taken through the pipeline's own code, and the features are read.
The table beside it is of the real sizes: parameters counted on the meta device, FLOPs by the shapes, memory from what
the step was seen to keep for each layer.

    python -m benchmarks.full_size --json full_size.json
    python -m benchmarks.full_size --device cuda --depth 0     # full depth in bf16: 26 GB of weights for Baichuan-13B
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.command import Figure, parser, write_figures
from benchmarks.full_size.models import CLASSES, MODELS, FullSize, costs, prefix_table
from benchmarks.measuring import peak_memory_bytes
from mer.adaptation.adapted_block import Adaptation, AdaptedBlock
from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.finetune import LabelledFrames, adapt, adapted_features
from mer.adaptation.token_config import PictureAdaptation, TextAdaptation
from mer.encoders.placement import Placement, choose_placement
from mer.training.fit_masks import FitMasks

CLIPS, RANK = 2, 16
QUICK = ("chinese-hubert-large", "clip-vit-l14")
_CONFIGS: dict[str, type[AdaptationConfig]] = {
    "acoustic": AdaptationConfig,
    "visual": PictureAdaptation,
    "lexical": TextAdaptation,
}
_ADAM_BYTES = 16
"""Parameter, gradient and two moments, float32."""


def check(name: str, depth: int, placement: Placement) -> dict[str, Figure]:
    """One step of one encoder at this depth, in this process.

    Raises:
        RuntimeError: the step changed nothing, or gave something that is not finite.
    """
    model = MODELS[name]
    encoder = model.build(depth, placement)
    block = model.depth_block(depth)
    table = prefix_table(encoder, model, block.start, CLIPS)
    config = _CONFIGS[model.stream](rank=RANK, epochs=1, batch_size=CLIPS, patience=0)
    everything = np.ones(CLIPS, dtype=bool)
    started, worked = time.perf_counter(), time.process_time()
    adaptation = adapt(
        encoder,
        block,
        LabelledFrames(table, np.arange(CLIPS) % CLASSES, CLASSES),
        FitMasks.all_training(everything),
        config,
    )
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    adapted = AdaptedBlock(encoder, block, config, CLASSES)
    adapted.load_small_tensors(adaptation.tensors)
    _require_a_step(name, adaptation, adapted_features(adapted.eval(), table).values)
    peak = _peak_bytes(placement)  # before the step is looked into
    return {
        "depth": depth,
        "precision": placement.precision,
        "trainable": sum(value.numel() for value in adapted.layers.trainable.values()),
        "step_seconds": seconds,
        "step_processor_seconds": processor,
        "peak_bytes": peak,
        "kept_bytes_per_layer": kept_bytes(adapted, table, block) / block.length,
        "rows": int(table.offsets[1]),
        "loss": adaptation.history[0]["train_cross_entropy"],
    }


def _require_a_step(name: str, adaptation: Adaptation, features: Any) -> None:
    ups = [value for key, value in adaptation.tensors.items() if "lora_B" in key]
    moved = any(bool(value.abs().max() > 0) for value in ups)  # they start at zero
    finite = bool(np.isfinite(features).all()) and np.isfinite(adaptation.history[0]["train_cross_entropy"])
    if not (moved and finite and adaptation.history[0]["skipped_steps"] == 0):
        raise RuntimeError(
            f"{name}: expected a finite step that moves the adapters, found {adaptation.history}"
        )


def kept_bytes(adapted: AdaptedBlock, table: Any, block: Block) -> float:
    """What one clip's forward pass keeps for the backward pass, without the weights themselves."""
    device = adapted.layers.device
    weights = {value.untyped_storage().data_ptr() for value in _all_weights(adapted)}
    seen: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        pointer = value.untyped_storage().data_ptr()
        if pointer not in weights:
            seen[pointer] = value.untyped_storage().nbytes()
        held.append(value)  # so that its place is not given to another one
        return value

    held: list[Tensor] = []
    rows = torch.from_numpy(table.values[: table.offsets[1]]).reshape(1, int(table.offsets[1]), -1).to(device)
    mask = torch.ones(rows.shape[:2], dtype=torch.bool, device=device)
    adapted.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        adapted.embed(rows, mask)
    return float(sum(seen.values()))


def _all_weights(adapted: AdaptedBlock) -> list[Tensor]:
    frozen = adapted.layers._frozen[0].module
    return [
        *frozen.parameters(),
        *frozen.buffers(),
        *adapted.parameters(),
        *adapted.layers.trainable.values(),
    ]


def _peak_bytes(placement: Placement) -> int:
    return torch.cuda.max_memory_allocated() if placement.on_gpu else peak_memory_bytes()


def real_size(name: str, measured: dict[str, Figure]) -> dict[str, Figure]:
    """What the encoder costs at its full depth, with what was measured at the depth checked."""
    model = MODELS[name]
    found = costs(model, int(number(measured["rows"])), RANK, CLASSES)
    kept = number(measured["kept_bytes_per_layer"]) * model.block.length
    return {
        "layers": model.layers,
        "block": f"{model.block.start + 1}-{model.block.stop}",
        "parameters": found.parameters,
        "block_parameters": found.block_parameters,
        "trainable": found.trainable,
        "clip_gflops": found.clip_flops / 1e9,
        "step_gflops_per_clip": 2 * found.block_flops / 1e9,
        "weights_gb_bf16": 2 * found.parameters / 1e9,
        "adapter_and_adam_mb": _ADAM_BYTES * found.trainable / 1e6,
        "kept_mb_per_clip": kept / 1e6,
        "cache_mb_per_clip": 4 * found.rows * found.width / 1e6,
    }


def number(value: Figure) -> float:
    """A figure that is a number."""
    if isinstance(value, int | float):
        return float(value)
    raise TypeError(f"expected a number, found {value!r}")


def in_own_process(name: str, depth: int, device: str) -> dict[str, Figure]:
    """`check` in a process of its own, whose memory is the encoder's alone."""
    command = [sys.executable, "-m", "benchmarks.full_size", "--one", name]
    done = subprocess.run(
        [*command, "--depth", str(depth), "--device", device], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Figure] = json.loads(done.stdout.splitlines()[-1])
    return found


def _depth(asked: int, model: FullSize) -> int:
    return model.layers if asked == 0 else min(asked, model.layers)


def _show(rows: Sequence[tuple[str, dict[str, Figure], dict[str, Figure]]]) -> None:
    print("step taken:")
    print(
        f"{'encoder':<22}{'depth':>6}{'type':>6}{'step s':>9}{'cpu s':>9}{'peak GB':>9}{'trainable M':>13}{'kept MB a layer':>17}"
    )
    for name, step, _ in rows:
        print(
            f"{name:<22}{step['depth']:>6}{step['precision']:>6}{number(step['step_seconds']):>9.2f}"
            f"{number(step['step_processor_seconds']):>9.2f}{number(step['peak_bytes']) / 1e9:>9.2f}"
            f"{number(step['trainable']) / 1e6:>13.2f}{number(step['kept_bytes_per_layer']) / 1e6:>17.1f}"
        )
    print("\nreal sizes (low-rank updates of rank 16 in the block; a typical clip, see full_size_models):")
    heads = (
        "params M",
        "block M",
        "train M",
        "clip GF",
        "step GF",
        "bf16 GB",
        "Adam MB",
        "kept MB",
        "cache MB",
    )
    print(f"{'encoder':<22}{'layers':>8}{'block':>8}" + "".join(f"{head:>10}" for head in heads))
    for name, _, real in rows:
        values = (
            number(real["parameters"]) / 1e6, number(real["block_parameters"]) / 1e6,
            number(real["trainable"]) / 1e6, *(number(real[key]) for key in (
                "clip_gflops", "step_gflops_per_clip", "weights_gb_bf16", "adapter_and_adam_mb",
                "kept_mb_per_clip", "cache_mb_per_clip",
            )),
        )  # fmt: skip
        print(
            f"{name:<22}{real['layers']:>8}{real['block']:>8}"
            + "".join(f"{value:>10.1f}" for value in values)
        )


def main() -> None:
    """Check each encoder in a process of its own, print both tables, write the figures."""
    options = _options()
    placement = choose_placement(options.device, "bf16" if options.device.startswith("cuda") else "fp32")
    if options.one:
        depth = _depth(options.depth, MODELS[options.one])
        print(json.dumps(check(options.one, depth, placement)))
        return
    names = options.only or (QUICK if options.quick else tuple(MODELS))
    rows = []
    for name in names:
        step = in_own_process(name, _depth(options.depth, MODELS[name]), options.device)
        rows.append((name, step, real_size(name, step)))
    _show(rows)
    write_figures(
        options.json,
        {
            f"{name}/{kind}/{key}": value
            for name, step, real in rows
            for kind, part in (("step", step), ("real", real))
            for key, value in part.items()
        },
    )


def _options() -> argparse.Namespace:
    made = parser(str(__doc__))
    made.add_argument("--device", default="cpu", help="cpu (float32) or cuda (bf16)")
    made.add_argument("--depth", type=int, default=2, help="layers built; 0: all of them")
    made.add_argument("--only", nargs="+", choices=tuple(MODELS), help="these encoders only")
    made.add_argument("--one", choices=tuple(MODELS), help=argparse.SUPPRESS)
    return made.parse_args()


if __name__ == "__main__":
    main()
