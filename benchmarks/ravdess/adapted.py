"""RAVDESS, published speaker-independent folds: what adapting the block that matters gives, alone and fused with action units.

    python -m benchmarks.ravdess.adapted [--quick] [--json PATH] [--device cuda] [--six] [--only fits|scores]

For each outer fold everything is chosen on its training speakers: the layer block (`study_layers`), penalties and the weights of
the searched ensembles (five inner folds). Adapters are fitted with three seeds, folds and seeds side by side
(`mer.adaptation.stack.fits`); no epoch is chosen, the last one counts. Options of the fits and candidates of the search are
fixed in benchmarks/ravdess/adapted_fits.py and candidates.py. Test labels are read in one place, `judged`.

Speech alone: `frozen_last` (logistic regression on the last layer), `frozen_layer` (on the best), `frozen_block` (on the block's
states side by side), `frozen_search` (ensemble of kernel machines searched over layers and speeds); `adapted` (LoRA on the
block, its own head, posteriors of three seeds averaged, recordings at .9, 1 and 1.1 of their speed), `adapted_seed` (mean of the
seeds alone), with masked reconstruction (`adapted_masked`), `bottleneck`, `dora`, `all_layers` (LoRA on all of them, more
parameters); `adapted_search` (the search with the adapted block as a further candidate), `adapted_pool` (`frozen_search` and
`adapted` multiplied, the latter to the power POOLED).
With action units: `units` (alone), `fused_frozen` (searched without the adapted block), `fused_search` (with it as a candidate),
`fused` (`fused_frozen` and `adapted` multiplied, the latter to the power POOLED). `--six`: `units`, `fused_frozen`, `fused`
on six classes, without calm and disgust; blocks are adapted on all eight, and these two left out of what they say.

JSON keys, with the system in front: accuracy_mean (of folds), accuracy_folds, accuracy (pooled), waf, macro_f1, interval_low,
interval_high (95 %, pooled accuracy, speakers resampled), difference, difference_low, difference_high (pooled accuracy minus that
of the system named in `REFERENCES`, paired). `inner_accuracy_SYSTEM`: what the search saw; `trainable_SYSTEM`: parameters.

Fits are kept in `--features`: on a machine with a GPU all of them take minutes (`--only fits --device cuda`), on two processor
cores hours. `--quick`: one sentence, first repetitions, two systems, one epoch, one seed, two inner folds: shows that it runs,
not how good.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.command import Figure, parser, write_figures
from benchmarks.ravdess.adapted_table import REFERENCES, show, trainable
from benchmarks.ravdess.fold_scores import number, scores

if TYPE_CHECKING:
    from benchmarks.ravdess.adapted_fits import AdaptedLogits, WantedFit
    from benchmarks.ravdess.streams import Corpus
    from mer.adaptation.block import Block
    from mer.posteriors import Posteriors

LEFT_OUT_OF_SIX = ("calm", "disgust")
BLOCK_LENGTH = 3
LAYERS = 6
"""Of Moonshine-tiny."""
POOLED = 0.5
"""Chosen on the inner folds of outer folds 0, 1 and 3: 0, .2, .5, .8, 1.3 give .837 .842 .847 .846 .837 with action units."""
PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1)


@dataclass(frozen=True)
class Settings:
    """What one run of the procedure is."""

    quick: bool
    precision: str
    six: bool = False
    partial: bool = False

    @property
    def inner_folds(self) -> int:
        """Inner folds of every outer fold."""
        return 2 if self.quick else 5

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the fits on all training speakers; inner folds take the first."""
        from benchmarks.ravdess.adapted_fits import SEEDS

        return SEEDS[:1] if self.quick else SEEDS


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--corpus", default="../shared/data/ravdess", help="folder with labels.csv, audio/")
    options.add_argument(
        "--encoder",
        default="../shared/models/moonshine-tiny-encoder",
        help="folder or `wheel:moonshine-tiny`",
    )
    options.add_argument("--features", type=Path, default=Path(".mer/ravdess"), help="kept features and fits")
    options.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    options.add_argument("--device", default="cpu", help="where adapters are fitted: cpu or cuda")
    options.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="of the fits")
    options.add_argument("--at-once", type=int, default=0, help="fits side by side; 0: 45 on a GPU, else 1")
    options.add_argument("--six", action="store_true", help="also six classes")
    options.add_argument(
        "--partial", action="store_true", help="score with the fits that are there, and say how many are not"
    )
    options.add_argument("--folds", default="", help="outer folds, such as 0,1; left out: all")
    options.add_argument(
        "--only", choices=("fits", "scores"), help="make the fits alone, or expect them made"
    )
    chosen = options.parse_args()
    if not (Path(chosen.corpus) / "labels.csv").is_file():
        options.error(f"expected labels.csv, audio/ and features/ in {chosen.corpus}; give --corpus PATH")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # of the workers, which start afresh

    from benchmarks.ravdess.streams import load_corpus

    known = blocks_file(chosen.features, quick=chosen.quick).is_file()
    corpus = load_corpus(
        Path(chosen.corpus),
        chosen.encoder,
        chosen.features,
        chosen.workers,
        quick=chosen.quick,
        features=chosen.only != "fits" or not known,
    )
    figures: dict[str, Figure] = {}
    for six in (False, True) if chosen.six else (False,):
        settings = Settings(quick=chosen.quick, precision=chosen.precision, six=six, partial=chosen.partial)
        own = corpus.without(LEFT_OUT_OF_SIX) if six else corpus
        figures |= measured(corpus, own, settings, chosen)
        write_figures(chosen.json, figures)


def measured(
    corpus: Corpus, own: Corpus, settings: Settings, chosen: argparse.Namespace
) -> dict[str, Figure]:
    """Blocks, fits, scores and the table of one set of classes."""
    from benchmarks.ravdess.adapted_fits import AdaptedLogits, systems

    blocks = chosen_blocks(corpus, settings, chosen.features)
    if chosen.folds:
        blocks = {fold: blocks[fold] for fold in map(int, chosen.folds.split(","))}
    plan = planned_fits(corpus, settings, blocks)
    store = AdaptedLogits(chosen.features / "fits", settings.quick)
    if chosen.only != "scores":
        make(plan, store, corpus, chosen)
    if chosen.only == "fits":
        return {}
    outcomes = []
    with ProcessPoolExecutor(max_workers=chosen.workers, mp_context=get_context("spawn")) as pool:
        work = partial(outer_fold, corpus, own, settings, store, plan, blocks)
        for outcome in pool.map(work, sorted(blocks)):
            outcomes.append(outcome)
            print(
                f"outer fold {outcome.fold}: layers {outcome.block}; "
                + "; ".join(f"{name}: {text}" for name, text in outcome.chosen.items()),
                flush=True,
            )
    suffix = "_six" if settings.six else ""
    by_system = judged(own, outcomes)
    figures = {
        f"{name}{suffix}_{key}": figure for name, row in by_system.items() for key, figure in row.items()
    }
    for name in set.intersection(*(set(one.inner_accuracy) for one in outcomes)):
        figures[f"inner_accuracy_{name}{suffix}"] = fmean(one.inner_accuracy[name] for one in outcomes)
    block = next(iter(blocks.values()))[0]
    options = systems(settings.precision, quick=settings.quick)
    figures |= trainable(options, chosen.encoder, chosen.features, block, LAYERS)
    show(suffix, figures)
    return figures


def chosen_blocks(corpus: Corpus, settings: Settings, kept: Path) -> dict[int, tuple[Block, int]]:
    """Outer fold -> block and best single layer, by the layer study of its training speakers."""
    from benchmarks.ravdess.streams import layer
    from mer.adaptation.block import Block
    from mer.ensemble.varied import PLAIN
    from mer.layer_study.config import LayerStudyConfig
    from mer.layer_study.study import study_layers

    path = blocks_file(kept, quick=settings.quick)
    if path.is_file():
        read = json.loads(path.read_text())
        return {int(fold): (Block(*block), best) for fold, (block, best) in read.items()}
    layers = sum(stream.startswith("layer") for stream in corpus.streams)
    states = np.stack([corpus.streams[layer(index)].values[PLAIN] for index in range(layers)], axis=1)
    config = LayerStudyConfig(block_length=BLOCK_LENGTH, seeds=1 if settings.quick else 3)
    found = {}
    for fold in sorted({int(fold) for fold in corpus.examples.fold}):
        train = np.flatnonzero(corpus.examples.fold != fold)
        study = study_layers(
            states[train],
            corpus.examples.emotion[train],
            [corpus.examples.speaker[i] for i in train.tolist()],
            config,
        )
        found[fold] = (study.best_block, study.best_layer)
        print(
            f"outer fold {fold}: layers 0-{layers - 1} score {' '.join(f'{s:.3f}' for s in study.mean)} on its training "
            f"speakers; block {study.best_block.start}-{study.best_block.stop}, best single {study.best_layer}",
            flush=True,
        )
    text = json.dumps({fold: ([block.start, block.stop], best) for fold, (block, best) in found.items()})
    path.write_text(text)
    return found


def blocks_file(kept: Path, *, quick: bool) -> Path:
    """Where the chosen blocks are kept."""
    return kept / f"blocks{'-quick' if quick else ''}.json"


@dataclass(frozen=True)
class PlannedFit:
    """A fit and what it is for."""

    fold: int
    final: bool
    """On all training speakers of the outer fold, not of an inner one."""
    fit: WantedFit


def planned_fits(
    corpus: Corpus, settings: Settings, blocks: Mapping[int, tuple[Block, int]]
) -> list[PlannedFit]:
    """All fits: every system on each outer fold's training speakers, the adapted block on the inner folds too."""
    from benchmarks.ravdess.adapted_fits import WantedFit, systems
    from mer.adaptation.block import Block
    from mer.ensemble.search import inner_folds

    planned = []
    for fold, (block, _) in blocks.items():
        learn = corpus.examples.fold != fold

        def wanted(system: str, mask: Any, seed: int, on: Block) -> WantedFit:
            labels = np.where(mask, corpus.examples.emotion, -1)
            config = systems(settings.precision, quick=settings.quick)[system]
            return WantedFit(system, config, on, seed, mask, labels, len(corpus.classes))

        for system in systems(settings.precision, quick=settings.quick):
            on = Block(0, LAYERS) if system == "all_layers" else block
            planned += [PlannedFit(fold, True, wanted(system, learn, seed, on)) for seed in settings.seeds]
        parts = inner_folds(corpus.examples, learn, settings.inner_folds)
        for part in range(int(parts.max()) + 1):
            planned.append(
                PlannedFit(fold, False, wanted("adapted", learn & (parts != part), settings.seeds[0], block))
            )
    return planned


def make(
    plan: Sequence[PlannedFit], store: AdaptedLogits, corpus: Corpus, chosen: argparse.Namespace
) -> None:
    """Make the fits that are missing."""
    import torch

    from benchmarks.ravdess.adapted_fits import FrameSource, make_fits
    from mer.encoders import load_acoustic, resolve_weights

    torch.set_num_threads(chosen.workers)
    encoder = load_acoustic(resolve_weights(chosen.encoder, chosen.features / "weights"))
    encoder.module.to(chosen.device)
    missing = [one.fit for one in plan if store.of(one.fit) is None]
    starts = {fit.block.start for fit in missing}
    frames = FrameSource(corpus.clips, starts, chosen.encoder, chosen.features / "weights", chosen.device)
    at_once = chosen.at_once or (45 if chosen.device.startswith("cuda") else 1)
    make_fits(missing, store, frames, encoder, at_once)


@dataclass(frozen=True)
class FoldOutcome:
    """One outer fold: predictions of its test clips, without a look at their labels."""

    fold: int
    block: str
    predictions: Mapping[str, Posteriors]
    inner_accuracy: Mapping[str, float]
    chosen: Mapping[str, str]


def outer_fold(
    corpus: Corpus,
    own: Corpus,
    settings: Settings,
    store: AdaptedLogits,
    plan: Sequence[PlannedFit],
    blocks: Mapping[int, tuple[Block, int]],
    fold: int,
) -> FoldOutcome:
    """Search and predict one outer fold; the test clips' labels are blanked before anything else happens."""
    import torch

    from benchmarks.ravdess.adapted_fits import AdaptedFamily, Remembered, SystemsOfFits
    from benchmarks.ravdess.candidates import families, speech_families, units
    from mer.ensemble.combine import log_pooled, tempered
    from mer.ensemble.search import predict_searched, search_ensemble, seen_by

    torch.set_num_threads(1)
    block, best = blocks[fold]
    learn, asked = own.examples.fold != fold, own.examples.fold == fold
    examples, classes = seen_by(own.examples, learn), len(own.classes)
    place = {clip_id: row for row, clip_id in enumerate(corpus.examples.clip_ids)}
    fits = SystemsOfFits(
        [(one.fit, one.final) for one in plan if one.fold == fold],
        store,
        np.array([place[clip_id] for clip_id in own.examples.clip_ids]),
        [corpus.classes.index(name) for name in own.classes],
        partial=settings.partial,
    )
    if fits.missing:
        print(f"outer fold {fold}: {fits.missing} fits were not made", flush=True)
    predictions = dict(fits.final_posteriors(examples, np.flatnonzero(asked)))
    adapted = AdaptedFamily("adapted block", fits.of("adapted"))
    joint = [Remembered(one) for one in families(own.streams, classes, quick=settings.quick)]
    speech = [Remembered(one) for one in speech_families(own.streams, classes, quick=settings.quick)]
    searches: dict[str, list[Any]] = {"fused_frozen": joint}
    single = {"units": units(own.streams, classes)}
    if not settings.six:
        states = list(range(block.start + 1, block.stop + 1))
        searches["frozen_search"] = speech
        if fits.has_inner:
            searches |= {"adapted_search": [*speech, adapted], "fused_search": [*joint, adapted]}
        for name, layers in (("frozen_last", [LAYERS]), ("frozen_layer", [best]), ("frozen_block", states)):
            single[name] = linear_by_penalty(own, layers, classes)
    chosen, inner = {}, {}
    for name, candidates in searches.items():
        found = search_ensemble(candidates, examples, learn, folds=settings.inner_folds)
        again = predict_searched(candidates, examples, learn, asked, found.ensemble.members)
        predictions[name], inner[name] = found.ensemble.combine(again), found.accuracy
        pairs = sorted(zip(found.ensemble.weights, found.ensemble.members, strict=True), reverse=True)
        chosen[name] = ", ".join(f"{weight:.2f} {member}" for weight, member in pairs)
    for name, family in single.items():
        found = search_ensemble([family], examples, learn, folds=settings.inner_folds)
        wanted = found.best_single
        predictions[name] = predict_searched([family], examples, learn, asked, [wanted])[wanted]
        inner[name], chosen[name] = found.inner_accuracy[wanted], wanted
    for name, frozen in (("adapted_pool", "frozen_search"), ("fused", "fused_frozen")):
        if frozen in predictions:
            predictions[name] = log_pooled(
                [predictions[frozen], tempered(predictions["adapted"], 1 / POOLED)]
            )
    return FoldOutcome(fold, f"{block.start}-{block.stop}", predictions, inner, chosen)


def linear_by_penalty(own: Corpus, layers: Sequence[int], classes: int) -> Any:
    """Logistic regressions on these layers side by side, one for each penalty to choose from."""
    from benchmarks.ravdess.streams import layer
    from mer.ensemble.linear import LinearFamily, LinearMember

    streams = {layer(index): len(layers) ** -0.5 for index in layers}
    members = {f"C = {c:g}": LinearMember(streams=streams, inverse_penalty=c) for c in PENALTIES}
    return LinearFamily(own.streams, members, classes)


def judged(own: Corpus, outcomes: Sequence[FoldOutcome]) -> dict[str, dict[str, Figure]]:
    """Scores of every system, the seeds of `adapted` as their mean: the one place where test labels are read."""
    figures = scores(own.examples, len(own.classes), outcomes, REFERENCES)
    alone = [figures.pop(name) for name in list(figures) if name.startswith("adapted_seed")]
    if alone:
        keys = ("accuracy_mean", "accuracy", "waf", "macro_f1", "interval_low", "interval_high")
        figures["adapted_seed"] = {key: fmean(number(one[key]) for one in alone) for key in keys}
        figures["adapted_seed"]["accuracy_folds"] = [number(one["accuracy_mean"]) for one in alone]
    return figures


if __name__ == "__main__":
    main()
