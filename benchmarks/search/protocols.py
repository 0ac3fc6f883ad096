"""Hyper-parameter search of the challenge baseline against the toolkits' protocol, side by side in one run.

    python -m benchmarks.search [--quick] [--workers 2] [--json PATH]

50 draws x 5 folds of `attention` at challenge size: 3,373 clips, features of 1024, 1024 and 4096 numbers with class signal.
Draws: hidden 64, 128, 256; dropout .2 to .5; learning rate 1e-3 or 1e-4. Each outer fold chooses a draw and an epoch on its own
validation clips (a fifth of its training clips) and is scored once on its test fold: nested cross-validation.

- theirs: every draw alone, fp32, default Adam, weight decay 1e-5, batch 32, always 100 epochs, every set scored every epoch
  (benchmarks/search/toolkit_loop.py). MEASURED: a few epochs of one draw a width; EXTRAPOLATED: x 100 epochs x the draws of
  that width.
- ours: the same models, draws, batch size and validation clips, in stacks, with patience, successive halving in each fold, and
  the running average of the parameters that our fits keep by default (its scores are steadier and come sooner, so that halving
  errs less). Rung, factor and patience: chosen on validation curves of one fold, never on a test fold (docs/experiments.md).
- scores: theirs cannot be run here in full, so a sample of the draws is trained on some folds with all 100 epochs and neither
  patience, pruning nor averaging (in a stack: a model in a stack is the model alone), and chosen among; `same_draws_score_ours`
  is our search on exactly those draws and folds, to be compared with `best_score_reference`. `best_score_ours` is over all.

JSON keys: search_cpu_ratio (theirs / ours, bigger is better), search_wall_minutes (ours, all workers together),
best_score_ours, best_score_reference, same_draws_score_ours (and both by fold: scores_reference, same_draws_scores_ours),
cpu_minutes_ours, cpu_minutes_reference (extrapolated), models, model_epochs; and the gain taken apart, each part a quotient of
processor time: part_fused_adam, part_no_needless_scoring, part_bf16 (absent where the processor lacks it),
part_cheap_dropout_and_layout (our engine with a stack of one), part_stacking, part_early_stopping, part_pruning.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from statistics import fmean
from typing import TYPE_CHECKING

from benchmarks.command import Figure, parser, write_figures
from benchmarks.measuring import compare

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.search.toolkit_loop import Loop
    from mer.fusion.config import FusionConfig
    from mer.stack.data import StackData, StackView
    from mer.stack.train import ModelOutcome, Precision

CLIPS, WIDTHS, CLASSES, FOLDS, EPOCHS = 3373, (1024, 1024, 4096), 6, 5, 100
PATIENCE, FIRST_RUNG, FACTOR, AVERAGING = 8, 4, 4, 0.99
HIDDEN = (64, 128, 256)


@dataclass(frozen=True)
class Draw:
    """Hyper-parameters drawn at random."""

    hidden: int
    dropout: float
    learning_rate: float


def draws(count: int) -> list[Draw]:
    """The same draws at every call; the first few have every width."""
    source = random.Random(5)
    return [
        Draw(HIDDEN[i % 3], source.choice((0.2, 0.3, 0.4, 0.5)), source.choice((1e-3, 1e-4)))
        for i in range(count)
    ]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--workers", type=int, default=2, help="processes of our search, of one thread each")
    chosen = options.parse_args()
    figures = measured(quick=chosen.quick, workers=chosen.workers)
    show(figures)
    write_figures(chosen.json, figures)


def measured(*, quick: bool, workers: int) -> dict[str, Figure]:
    """All figures."""
    import torch

    torch.set_num_threads(1)
    tried = draws(6 if quick else 50)
    folds = range(1 if quick else FOLDS)
    sample, sample_folds = range(3 if quick else 6), range(1 if quick else 3)
    reference = reference_seconds(tried, len(folds), epochs=1 if quick else 2)
    started = time.perf_counter()
    found = over_folds([(fold, tuple(tried), "ours") for fold in folds], workers)
    wall = time.perf_counter() - started
    cpu = sum(part.seconds for part in found)
    kept = tuple(tried[i] for i in sample)
    epochs_of_reference = 12 if quick else EPOCHS
    theirs, same = (
        over_folds([(fold, kept, kind) for fold in sample_folds], workers)
        for kind in (f"reference {epochs_of_reference}", "ours")
    )
    models, epochs = len(tried) * len(folds), sum(part.epochs for part in found)
    early = epochs_of_reference * len(kept) * len(sample_folds) / sum(part.patient_epochs for part in theirs)
    return {
        "search_cpu_ratio": reference / cpu,
        "search_wall_minutes": wall / 60,
        "best_score_ours": fmean(part.test for part in found),
        "best_score_reference": fmean(part.test for part in theirs),
        "same_draws_score_ours": fmean(part.test for part in same),
        "same_draws_scores_ours": [part.test for part in same],
        "scores_reference": [part.test for part in theirs],
        "reference_epochs_for_its_score": epochs_of_reference,
        "cpu_minutes_ours": cpu / 60,
        "cpu_minutes_reference": reference / 60,
        "models": models,
        "model_epochs": epochs,
        **parts(quick=quick),
        "part_early_stopping": early,
        "part_pruning": EPOCHS * models / epochs / early,
    }


@cache
def corpus() -> StackData:
    """Clips whose streams are noisy pictures of one hidden vector that depends on the class."""
    import torch

    from mer.stack.data import StackData

    generator = torch.Generator().manual_seed(1)
    emotion = torch.randint(0, CLASSES, (CLIPS,), generator=generator)
    centres = torch.randn(CLASSES, 24, generator=generator)
    hidden = 0.55 * centres[emotion] + torch.randn(CLIPS, 24, generator=generator)
    values = {}
    for number, width in enumerate(WIDTHS):
        seen = hidden + 1.2 * torch.randn(CLIPS, 24, generator=generator)  # what this stream adds of its own
        picture = torch.randn(24, width, generator=generator)
        values[f"stream{number}"] = seen @ picture + 6 * torch.randn(CLIPS, width, generator=generator)
    valence = torch.linspace(-2.5, 1.8, CLASSES)[emotion] + torch.randn(CLIPS, generator=generator)
    present = {name: torch.ones(CLIPS, dtype=torch.bool) for name in values}
    return StackData(values, present, emotion, valence, torch.ones(CLIPS), CLASSES)


def view(fold: int) -> tuple[StackView, Tensor]:
    """The training and validation clips of an outer fold, and the row numbers of its test clips."""
    import numpy as np
    import torch

    dealt = np.random.default_rng(7).integers(0, 5 * FOLDS, CLIPS)
    test = dealt % FOLDS == fold
    validation = ~test & (dealt // FOLDS == fold)
    return corpus().view(f"fold{fold}", ~test & ~validation, validation), torch.from_numpy(
        np.flatnonzero(test)
    )


@dataclass(frozen=True)
class FoldResult:
    """What one outer fold gave."""

    test: float
    """Weighted F1 on the test fold of the draw and epoch that the validation clips chose."""
    seconds: float
    """Processor seconds."""
    epochs: int
    """Trained, over all models."""
    patient_epochs: int
    """Epochs after which patience alone would have stopped, over all models."""


def over_folds(jobs: Sequence[tuple[int, tuple[Draw, ...], str]], workers: int) -> list[FoldResult]:
    """Search each fold, in processes."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=corpus) as pool:
        return list(pool.map(search_fold, jobs))


def search_fold(job: tuple[int, tuple[Draw, ...], str]) -> FoldResult:
    """One outer fold: train, choose on validation, score the chosen one on the test fold."""
    import torch

    from benchmarks.search.halving import SuccessiveHalving
    from mer.stack.state import ModelPlan
    from mer.stack.train import train_stack

    torch.set_num_threads(1)
    fold, tried, kind = job
    inner, test = view(fold)
    epochs = int(kind.split()[1]) if kind.startswith("reference") else EPOCHS
    ours = {"patience": PATIENCE, "averaging": AVERAGING} if kind == "ours" else {}
    plans = [ModelPlan(fusion_config(draw, epochs=epochs).model_copy(update=ours), inner) for draw in tried]
    halving = SuccessiveHalving(len(plans), first_rung=FIRST_RUNG, factor=FACTOR) if kind == "ours" else None
    started = time.process_time()
    outcomes = train_stack(plans, after_epoch=halving)
    best = max(outcomes, key=lambda outcome: outcome.best_score)
    score = held_out_score(best, inner, test)
    return FoldResult(
        test=score,
        seconds=time.process_time() - started,
        epochs=sum(outcome.epochs for outcome in outcomes),
        patient_epochs=sum(stops_after(outcome.scores) for outcome in outcomes),
    )


def stops_after(scores: Sequence[float]) -> int:
    """Epochs until `PATIENCE` of them brought nothing better."""
    best, at = -math.inf, 0
    for epoch, score in enumerate(scores, start=1):
        if score > best:
            best, at = score, epoch
        elif epoch - at >= PATIENCE:
            return epoch
    return len(scores)


def fusion_config(draw: Draw, *, epochs: int, seed: int = 1) -> FusionConfig:
    """The baseline with a draw's options: no hiding of streams, no clipping, no averaging, no smoothing, no early end."""
    from mer.fusion.config import FusionConfig

    return FusionConfig(
        model="attention", hidden=draw.hidden, dropout=draw.dropout, learning_rate=draw.learning_rate,
        weight_decay=1e-5, batch_size=32, modality_dropout=0.0, gradient_clip=math.inf, averaging=0.0,
        label_smoothing=0.0, epochs=epochs, patience=0, seed=seed,
    )  # fmt: skip


def held_out_score(outcome: ModelOutcome, inner: StackView, rows: Tensor) -> float:
    """Weighted F1 of a trained model on these clips."""
    from mer.evaluation.metrics import confusion, waf
    from mer.fusion.interface import FusionShape, build_fusion

    data = corpus()
    model = build_fusion(FusionShape(data.widths, CLASSES), outcome.plan.config).eval()
    model.load_state_dict(outcome.tensors)
    batch = inner.batch(rows)
    predicted = model(
        {name: values[0] for name, values in batch.values.items()},
        {name: present[0, :, 0] > 0 for name, present in batch.present.items()},
    ).emotion_logits.argmax(dim=1)
    return float(waf(confusion(data.emotion[rows].numpy(), predicted.numpy(), CLASSES)))


def loop(draw: Draw, *, fused: bool = False) -> Loop:
    """The toolkits' training of a draw on the first fold."""
    from benchmarks.search.toolkit_loop import Loop

    data, (inner, test) = corpus(), view(0)
    streams = [values * inner.scale[name] + inner.shift[name] for name, values in data.values.items()]
    return Loop(
        streams, data.emotion, data.valence, (inner.train, inner.validation, test),
        hidden=draw.hidden, dropout=draw.dropout, learning_rate=draw.learning_rate, fused=fused,
    )  # fmt: skip


def reference_seconds(tried: Sequence[Draw], folds: int, *, epochs: int) -> float:
    """Processor seconds of the toolkits' search: seconds of an epoch by width (median), times epochs, draws and folds."""
    per_epoch = {}
    for hidden in HIDDEN:
        model = loop(next(draw for draw in tried if draw.hidden == hidden))
        per_epoch[hidden] = compare({"epoch": model.epoch}, epochs)["epoch"].cpu
    return folds * EPOCHS * sum(per_epoch[draw.hidden] for draw in tried)


def parts(*, quick: bool) -> dict[str, float]:
    """An epoch of the middle width under each change in turn; each figure is the cost before over the cost after."""
    from mer.stack.state import ModelPlan
    from mer.stack.train import train_stack

    draw = Draw(128, 0.3, 1e-3)
    inner, _ = view(0)
    count = 4  # models in the stacked form; its cost is divided by this
    default, fused, unscored = loop(draw), loop(draw, fused=True), loop(draw, fused=True)

    def ours(stack_size: int | None, models: int, precision: Precision = "fp32") -> None:
        plans = [ModelPlan(fusion_config(draw, epochs=1, seed=i), inner) for i in range(models)]
        train_stack(plans, stack_size=stack_size, precision=precision, keep_parameters=False)

    work = {
        "default": default.epoch,
        "fused": fused.epoch,
        "unscored": lambda: unscored.epoch(scored=("validation",)),
        "alone": lambda: ours(1, 1),
        "stacked": lambda: ours(None, count),
    }
    if has_bf16():
        work["bf16"] = lambda: ours(None, count, "bf16")
    cost = {name: own.cpu for name, own in compare(work, 1 if quick else 3).items()}
    each = cost["stacked"] / count
    gains = {
        "part_fused_adam": cost["default"] / cost["fused"],
        "part_no_needless_scoring": cost["fused"] / cost["unscored"],
        "part_cheap_dropout_and_layout": cost["unscored"] / cost["alone"],
        "part_stacking": cost["alone"] / each,
    }
    return gains | ({"part_bf16": cost["stacked"] / cost["bf16"]} if "bf16" in cost else {})


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 natively."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return "AVX512" in capability and bool(torch.cpu._is_avx512_bf16_supported())


def show(figures: Mapping[str, Figure]) -> None:
    """The table for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", title="hyper-parameter search, theirs / ours (above 1: we are cheaper)")
    for name, value in figures.items():
        shown = " ".join(f"{v:.4f}" for v in value) if isinstance(value, list) else str(value)
        table.add_row(name, f"{value:,.4g}" if isinstance(value, float) else shown)
    Console().print(table)


if __name__ == "__main__":
    main()
