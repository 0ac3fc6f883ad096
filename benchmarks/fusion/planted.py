"""Guidance where it must help: a planted corpus in which only the frames that the audio points to carry the class.

    python -m benchmarks.fusion.planted [--quick] [--seeds 20] [--json PATH]

Every frame of the video shows one of four marks and one of four classes; the audio names a mark and says nothing of the
class. One frame of eight has that mark and shows the clip's class; the others have other marks, and each a class drawn at
random, so that all frames together say little. Who asks by the audio can find the frame; who asks by a learned query
cannot. All other options are equal.

JSON keys: accuracy on clips not trained on, mean over seeds: `agt_guided`, `agt_unguided` (the audio-guided transformer, part
`guidance` switched off), `s3`, `s2` (third and second structure of attention-guided gathering: guided by the other modality,
and not), `chance`; paired differences `agt_gain`, `s3_gain` with `_low`, `_high` (95 %, t over seeds) and `_least` (of any
seed); `seeds`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.command import Figure, parser, write_figures
from mer.examples import Examples
from mer.features.dataset import FeatureTable, RaggedTable
from mer.fusion.config import FusionConfig
from mer.fusion.streams import StreamTable

CLASSES, MARKS, FRAMES = 4, 4, 8
TRAIN, HELD, TEST = 500, 100, 400
NOISE = 0.3
_BASE: dict[str, object] = {
    "level": "frames", "hidden": 32, "dropout": 0.0, "modality_dropout": 0.0, "learning_rate": 5e-3, "averaging": 0.9,
    "epochs": 40, "patience": 12, "validation_score": "loss",
}  # fmt: skip
SYSTEMS: Mapping[str, dict[str, object]] = {
    "agt_guided": {"model": "audio_guided"},
    "agt_unguided": {"model": "audio_guided", "audio_guided": {"guidance": False}},
    "s3": {"model": "afg_guided"},
    "s2": {"model": "afg_hierarchical"},
}
PAIRS = {"agt_gain": ("agt_guided", "agt_unguided"), "s3_gain": ("s3", "s2")}


@dataclass(frozen=True)
class Planted:
    """One drawing of the corpus."""

    examples: Examples
    tables: Mapping[str, StreamTable]


def planted(seed: int, clips: int = TRAIN + HELD + TEST) -> Planted:
    """The corpus: marks and classes are one-hot codes in noise, turned by a random matrix so that no feature is either."""
    rng = np.random.default_rng(seed)
    emotion, mark = rng.integers(CLASSES, size=clips), rng.integers(MARKS, size=clips)
    shown = (mark[:, None] + rng.integers(1, MARKS, size=(clips, FRAMES))) % MARKS  # any mark but the clip's
    shown[np.arange(clips), rng.integers(FRAMES, size=clips)] = mark
    told = rng.integers(CLASSES, size=(clips, FRAMES))
    told = np.where(shown == mark[:, None], emotion[:, None], told)
    frames = np.concatenate(
        [np.eye(MARKS)[shown], np.eye(CLASSES)[told]], axis=2
    )  # (clips, FRAMES, MARKS + CLASSES)
    turned = frames @ np.linalg.qr(rng.normal(size=(MARKS + CLASSES,) * 2))[0]
    turned = turned + NOISE * rng.normal(size=turned.shape)
    audio = np.eye(MARKS)[mark] + NOISE * rng.normal(size=(clips, MARKS))
    ids = tuple(f"clip{number:04}" for number in range(clips))
    present = np.ones(clips, dtype=bool)
    video = turned.reshape(clips * FRAMES, -1).astype(np.float32)
    tables: dict[str, StreamTable] = {
        "acoustic": FeatureTable(ids, audio.astype(np.float32), present),
        "visual": RaggedTable(ids, video, np.arange(clips + 1) * FRAMES, present),
    }
    examples = Examples(
        ids, emotion.astype(np.int64), np.full(clips, np.nan, dtype=np.float32), (None,) * clips,
        np.full(clips, -1, dtype=np.int64), np.ones(clips, dtype=np.float32),
    )  # fmt: skip
    return Planted(examples, tables)


def accuracy(corpus: Planted, options: Mapping[str, object], seed: int) -> float:
    """Of a model on the last `TEST` clips, trained on the clips before the `HELD` ones that choose its epoch."""
    from mer.fusion.fit import fit_fusion, predict_fusion

    config = FusionConfig.model_validate({**_BASE, **options, "seed": seed})
    place = np.arange(len(corpus.examples))
    test = place >= len(place) - TEST
    held = ~test & (place >= len(place) - TEST - HELD)
    names = tuple(f"class{number}" for number in range(CLASSES))
    fitted = fit_fusion(corpus.tables, corpus.examples, ~test & ~held, held, names, config)
    predicted = predict_fusion(fitted, corpus.tables).predicted
    return float((predicted == corpus.examples.emotion)[test].mean())


def measured(
    seeds: Sequence[int], systems: Mapping[str, Mapping[str, object]] = SYSTEMS
) -> dict[str, list[float]]:
    """System -> accuracy for every seed, of the corpus and of the model."""
    found: dict[str, list[float]] = {name: [] for name in systems}
    for seed in seeds:
        corpus = planted(seed)
        for name, options in systems.items():
            found[name].append(accuracy(corpus, options, seed))
        print(
            f"seed {seed}: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in found.items()),
            flush=True,
        )
    return found


def figures_of(found: Mapping[str, Sequence[float]]) -> dict[str, Figure]:
    """Means and paired differences."""
    from scipy.stats import t

    count = len(next(iter(found.values())))
    figures: dict[str, Figure] = {name: float(np.mean(values)) for name, values in found.items()}
    figures |= {"chance": 1 / CLASSES, "seeds": count}
    for name, (one, other) in PAIRS.items():
        gains = np.subtract(found[one], found[other])
        reach = float(t.ppf(0.975, count - 1) * gains.std(ddof=1) / count**0.5)
        middle = float(gains.mean())
        figures |= {
            name: middle, f"{name}_low": middle - reach, f"{name}_high": middle + reach, f"{name}_least": float(gains.min()),
        }  # fmt: skip
    return figures


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--seeds", type=int, default=0, help="drawings of the corpus, each with a model of its own"
    )
    chosen = options.parse_args()
    import torch

    torch.set_num_threads(int(os.environ.get("MER_COMPUTE_THREADS", "1")))
    figures = figures_of(measured(range(1, 1 + (chosen.seeds or (2 if chosen.quick else 20)))))
    for name, value in figures.items():
        print(f"{name:16} {value:+.3f}" if name.startswith(tuple(PAIRS)) else f"{name:16} {value}")
    write_figures(chosen.json, figures)


if __name__ == "__main__":
    main()
