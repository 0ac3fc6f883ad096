"""Fusion structures at frame level: time per epoch and memory of each, and what length buckets save.

    python -m benchmarks.fusion [--quick] [--threads 1] [--json PATH]

Made features of challenge width: speech (1024-d, 20 to 180 frames a clip), face (768-d, 5 to 60), words (1024-d, 3 to 30);
six classes with valence, joint decoding, learned uncertainty. Every model trains in a process of its own. `peak_mib` is the
largest resident memory above that of the same process before the fit: standardised features, model, optimiser, the largest batch.
`utterance` is the challenge's `attention` on one vector a clip (means of the same frames).

JSON keys, for each model and for `utterance`: `<model>_epoch_seconds`, `<model>_epoch_cpu_seconds` (medians over epochs,
validation included), `<model>_peak_mib`, `<model>_parameters`; `padded_share_bucketed` and `padded_share_shuffled` (padding
among all frames of an epoch's speech batches), `clips`, `frames`, `threads`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.command import Figure, parser, write_figures
from benchmarks.measuring import peak_memory_bytes

if TYPE_CHECKING:
    from mer.examples import Examples
    from mer.fusion.config import FusionConfig
    from mer.fusion.streams import StreamTable

STREAMS = {"acoustic": (1024, 20, 180), "visual": (768, 5, 60), "lexical": (1024, 3, 30)}
"""Stream -> features, fewest and most frames."""
CLASSES = ("neutral", "angry", "happy", "sad", "worried", "surprise")
MODELS = ("early", "late", "token_attention", "afg_early", "afg_hierarchical", "afg_guided")
UTTERANCE = "utterance"
BATCH = 32


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--threads", type=int, default=1, help="of torch")
    options.add_argument("--model", choices=[*MODELS, UTTERANCE], help="(used for the child processes)")
    chosen = options.parse_args()
    clips, epochs = (96, 3) if chosen.quick else (512, 5)
    if chosen.model:
        print(json.dumps(cost_of(chosen.model, clips, epochs, chosen.threads)))
        return
    figures: dict[str, Figure] = {"threads": chosen.threads, "clips": clips, **padding(clips)}
    for model in (*MODELS, UTTERANCE):
        found = in_a_process(model, chosen.threads, chosen.quick)
        figures |= {f"{model}_{name}": value for name, value in found.items()}
    show(figures)
    write_figures(chosen.json, figures)


def in_a_process(model: str, threads: int, quick: bool) -> dict[str, float]:
    """Figures of one model, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.fusion", "--model", model, "--threads", str(threads)]
    done = subprocess.run(
        [*command, *(["--quick"] if quick else [])], capture_output=True, text=True, check=True, timeout=1800
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def cost_of(model: str, clips: int, epochs: int, threads: int) -> dict[str, float]:
    """Train `model` for some epochs; the first is a warm-up."""
    import numpy as np
    import torch

    from mer.fusion.fit import FusionResumable, fit_fusion

    torch.set_num_threads(threads)
    tables, examples = corpus(clips, frames=model != UTTERANCE)
    config = config_of(model, epochs)
    held = np.arange(clips) % 5 == 0
    before = peak_memory_bytes()
    walls, cpus = [time.perf_counter()], [time.process_time()]

    def progress(done: int, total: int) -> None:
        walls.append(time.perf_counter())
        cpus.append(time.process_time())

    fitted = fit_fusion(tables, examples, ~held, held, CLASSES, config, FusionResumable(progress=progress))
    return {
        "epoch_seconds": median(np.diff(walls)[1:].tolist()),
        "epoch_cpu_seconds": median(np.diff(cpus)[1:].tolist()),
        "peak_mib": (peak_memory_bytes() - before) / 2**20,
        "parameters": sum(value.numel() for value in fitted.tensors.values()),
    }


def config_of(model: str, epochs: int) -> FusionConfig:
    """Options of a model; one epoch more, as a warm-up."""
    from mer.fusion.config import FusionConfig

    return FusionConfig(
        model="attention" if model == UTTERANCE else model, level="utterance" if model == UTTERANCE else "frames",
        epochs=epochs + 1, patience=0, batch_size=BATCH, valence_decoding="joint", task_balance="uncertainty",
    )  # fmt: skip


def corpus(clips: int, *, frames: bool) -> tuple[dict[str, StreamTable], Examples]:
    """Made features of every stream, and labels."""
    import numpy as np

    from mer.examples import Examples
    from mer.features.dataset import FeatureTable, RaggedTable

    rng = np.random.default_rng(0)
    ids = tuple(f"clip{number}" for number in range(clips))
    emotion = rng.integers(0, len(CLASSES), clips)
    present = np.ones(clips, dtype=bool)
    tables: dict[str, StreamTable] = {}
    for name, (width, fewest, most) in STREAMS.items():
        lengths = rng.integers(fewest, most + 1, clips)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        values = rng.standard_normal((int(offsets[-1]), width), dtype=np.float32)
        values[:, : len(CLASSES)] += np.repeat(
            np.eye(len(CLASSES), dtype=np.float32)[emotion], lengths, axis=0
        )
        if frames:
            tables[name] = RaggedTable(ids, values, offsets, present)
        else:
            means = np.add.reduceat(values, offsets[:-1], axis=0) / lengths[:, None]
            tables[name] = FeatureTable(ids, means.astype(np.float32), present)
    valence = (emotion - 2.5 + rng.normal(size=clips)).astype(np.float32)
    speaker = tuple(f"s{number % 10}" for number in range(clips))
    ones = np.ones(clips, dtype=np.float32)
    return tables, Examples(ids, emotion, valence, speaker, np.zeros(clips, dtype=np.int64), ones)


def padding(clips: int) -> dict[str, float]:
    """Share of padding in an epoch's speech batches, with length buckets and without."""
    import numpy as np
    import torch

    from mer.training.batches import length_sorted_batches

    _, fewest, most = STREAMS["acoustic"]
    lengths = np.random.default_rng(0).integers(fewest, most + 1, clips)
    order = torch.randperm(clips, generator=torch.Generator().manual_seed(0))
    shuffled = [part.numpy() for part in torch.split(order, BATCH)]
    bucketed = length_sorted_batches(np.arange(clips), lengths, BATCH, torch.Generator().manual_seed(0))
    shares = {}
    for name, batches in (("bucketed", bucketed), ("shuffled", shuffled)):
        held = sum(int(lengths[rows].max()) * len(rows) for rows in batches)
        shares[f"padded_share_{name}"] = 1 - float(lengths.sum()) / held
    return {**shares, "frames": float(lengths.sum())}


def show(figures: Mapping[str, Figure]) -> None:
    """The table for people."""
    from rich.console import Console
    from rich.table import Table

    columns = ("epoch_seconds", "epoch_cpu_seconds", "peak_mib", "parameters")
    title = f"fusion at frame level: {figures['clips']} clips, {figures['threads']} thread(s)"
    table = Table("model", *columns, title=title)
    for model in (*MODELS, UTTERANCE):
        table.add_row(model, *(f"{figures[f'{model}_{column}']:,.4g}" for column in columns))
    Console().print(table)
    Console().print({name: value for name, value in figures.items() if name.startswith("padded")})


if __name__ == "__main__":
    main()
