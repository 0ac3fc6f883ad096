"""Hyper-parameter search of the challenge baseline against the toolkits' protocol, side by side in one run.

    python -m benchmarks.search [--quick] [--workers 2] [--json PATH]

50 draws x 5 folds of `attention` at challenge size: 3,373 clips, features of 1024, 1024 and 4096 numbers with class signal.
Draws: hidden 64, 128, 256; dropout .2 to .5; learning rate 1e-3 or 1e-4. Each outer fold chooses a draw and an epoch on its own
validation clips (a fifth of its training clips) and is scored once on its test fold: nested cross-validation.

- theirs: every draw alone, fp32, default Adam, weight decay 1e-5, batch 32, always 100 epochs, every set scored every epoch
  (benchmarks/search/toolkit_loop.py). MEASURED: a few epochs of one draw a width; EXTRAPOLATED: x 100 epochs x the draws of
  that width.
- ours: the same models, draws, batch size and validation clips, side by side, with patience, successive halving in each fold, and
  the running average of the parameters that our fits keep by default (its scores are steadier and come sooner, so that halving
  errs less). Rung, factor and patience: chosen on validation curves of one fold, never on a test fold (docs/experiments.md).
- scores: theirs cannot be run here in full, so a sample of the draws is trained on some folds with all 100 epochs and neither
  patience, pruning nor averaging, and chosen among; `same_draws_score_ours`
  is our search on exactly those draws and folds, to be compared with `best_score_reference`. `best_score_ours` is over all.

JSON keys: search_cpu_ratio (theirs / ours, bigger is better), search_wall_minutes (ours, all workers together),
best_score_ours, best_score_reference, same_draws_score_ours (and both by fold: scores_reference, same_draws_scores_ours),
cpu_minutes_ours, cpu_minutes_reference (extrapolated), models, model_epochs; and the gain taken apart, each part a quotient of
processor time: part_fused_adam, part_no_needless_scoring, part_trainer (an epoch of ours instead), part_early_stopping,
part_pruning.
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
    from benchmarks.search.toolkit_loop import Loop
    from mer.examples import Examples
    from mer.features.dataset import FeatureTable
    from mer.fusion.config import FusionConfig
    from mer.fusion.streams import StreamBatch
    from mer.fusion.train import FusionTraining
    from mer.search.candidates import SearchView
    from mer.training.partition import Partition

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
def corpus() -> tuple[Examples, dict[str, FeatureTable]]:
    """Clips whose streams are noisy pictures of one hidden vector that depends on the class."""
    import numpy as np
    import torch

    from mer.examples import Examples
    from mer.features.dataset import FeatureTable

    generator = torch.Generator().manual_seed(1)
    emotion = torch.randint(0, CLASSES, (CLIPS,), generator=generator)
    centres = torch.randn(CLASSES, 24, generator=generator)
    hidden = 0.55 * centres[emotion] + torch.randn(CLIPS, 24, generator=generator)
    names, tables = tuple(f"clip{number}" for number in range(CLIPS)), {}
    for number, width in enumerate(WIDTHS):
        seen = hidden + 1.2 * torch.randn(CLIPS, 24, generator=generator)  # what this stream adds of its own
        picture = torch.randn(24, width, generator=generator)
        values = seen @ picture + 6 * torch.randn(CLIPS, width, generator=generator)
        tables[f"stream{number}"] = FeatureTable(names, values.numpy(), np.ones(CLIPS, dtype=bool))
    valence = torch.linspace(-2.5, 1.8, CLASSES)[emotion] + torch.randn(CLIPS, generator=generator)
    nobody, everything = (None,) * CLIPS, np.ones(CLIPS, dtype=np.float32)
    examples = Examples(
        names, emotion.numpy(), valence.numpy(), nobody, np.zeros(CLIPS, np.int64), everything
    )
    return examples, tables


def partition(fold: int) -> Partition:
    """An outer fold: its training, validation and test clips."""
    import numpy as np

    from mer.training.partition import Partition

    dealt = np.random.default_rng(7).integers(0, 5 * FOLDS, CLIPS)
    test = dealt % FOLDS == fold
    validation = ~test & (dealt // FOLDS == fold)
    nobody = np.zeros(CLIPS, dtype=bool)
    return Partition(f"fold{fold}", ~test & ~validation, validation, test, nobody, nobody)


def view(fold: int) -> SearchView:
    """The training and validation clips of an outer fold."""
    import numpy as np

    from mer.features.dataset import FeatureTable
    from mer.search.candidates import search_view

    (examples, tables), clips = corpus(), partition(fold)
    rows = np.flatnonzero(clips.train | clips.validation)
    names = tuple(examples.clip_ids[row] for row in rows)
    seen = {
        name: FeatureTable(names, table.values[rows], table.present[rows]) for name, table in tables.items()
    }
    return search_view(examples, clips, seen, CLASSES)


def standardised(fold: int) -> StreamBatch:
    """All clips, by the training clips of an outer fold."""
    from mer.fusion.streams import standardisation_of, stream_batch

    _, tables = corpus()
    scales = {name: standardisation_of(name, table, partition(fold).train) for name, table in tables.items()}
    return stream_batch(tables, scales, CLIPS)


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

    torch.set_num_threads(1)
    fold, tried, kind = job
    inner = view(fold)
    epochs = int(kind.split()[1]) if kind.startswith("reference") else EPOCHS
    ours = {"patience": PATIENCE, "averaging": AVERAGING} if kind == "ours" else {}
    halving = SuccessiveHalving(len(tried), first_rung=FIRST_RUNG, factor=FACTOR) if kind == "ours" else None
    started = time.process_time()
    models = [begun(inner, fusion_config(draw, epochs=epochs).model_copy(update=ours)) for draw in tried]
    epoch, training = 0, set(range(len(models)))
    while training:
        epoch += 1
        for number in sorted(training):
            models[number].run_epoch()
        training = {number for number in training if not models[number].ended}
        if halving is not None:
            training -= set(halving(epoch, {number: models[number].state.best_score for number in training}))
    best = max(models, key=lambda model: model.state.best_score)
    score = held_out_score(best, fold)
    return FoldResult(
        test=score,
        seconds=time.process_time() - started,
        epochs=sum(model.epochs for model in models),
        patient_epochs=sum(
            stops_after([record["validation_waf"] for record in model.state.history]) for model in models
        ),
    )


def begun(inner: SearchView, config: FusionConfig) -> FusionTraining:
    """A fit before its first epoch."""
    from mer.fusion.fit import started_model
    from mer.fusion.train import FusionTraining

    model = started_model(inner.data, inner.widths, inner.classes, config)
    return FusionTraining(model, inner.data, config)


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


def held_out_score(best: FusionTraining, fold: int) -> float:
    """Weighted F1 of the kept epoch on the test clips of an outer fold."""
    import numpy as np
    import torch

    from mer.evaluation.metrics import confusion, waf

    rows = np.flatnonzero(partition(fold).test)
    batch = standardised(fold).rows(torch.from_numpy(rows))
    model = best.model.eval()
    model.load_state_dict(best.state.tensors)
    with torch.no_grad():
        predicted = model(batch.values, batch.present).emotion_logits.argmax(dim=1)
    return float(waf(confusion(corpus()[0].emotion[rows], predicted.numpy(), CLASSES)))


def loop(draw: Draw, *, fused: bool = False) -> Loop:
    """The toolkits' training of a draw on the first fold."""
    import numpy as np
    import torch

    from benchmarks.search.toolkit_loop import Loop

    (examples, _), clips = corpus(), partition(0)
    masks = (clips.train, clips.validation, clips.test)
    train, validation, test = (torch.from_numpy(np.flatnonzero(mask)) for mask in masks)
    return Loop(
        list(standardised(0).values.values()), torch.from_numpy(examples.emotion), torch.from_numpy(examples.valence),
        (train, validation, test), draw, fused=fused,
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
    draw = Draw(128, 0.3, 1e-3)
    inner = view(0)
    default, fused, unscored = loop(draw), loop(draw, fused=True), loop(draw, fused=True)
    work = {
        "default": default.epoch,
        "fused": fused.epoch,
        "unscored": lambda: unscored.epoch(scored=("validation",)),
        "ours": lambda: begun(inner, fusion_config(draw, epochs=1)).run_epoch(),
    }
    cost = {name: own.cpu for name, own in compare(work, 1 if quick else 3).items()}
    return {
        "part_fused_adam": cost["default"] / cost["fused"],
        "part_no_needless_scoring": cost["fused"] / cost["unscored"],
        "part_trainer": cost["unscored"] / cost["ours"],
    }


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
