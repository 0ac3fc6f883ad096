"""The layer study of a large encoder in one batched pass, against one probe after the other.

    python -m benchmarks.layer_study [--quick] [--json PATH]

25 hidden states (a 24-layer encoder) x 5 speaker-independent folds x 3 seeds = 375 linear heads on 1,024 features of 3,373
clips, as in MER2023, of 160 speakers. The features are made from a seed: correlated (a decaying spectrum, as hidden states
have), with class signal that rises towards the middle layers, and each speaker has a shift of their own.

- ours: `study_layers` as the pipeline calls it, i.e. all heads, the second view (a learned mixture of the layers in each run),
  the bootstrap and the choice of the block. MEASURED in full; the heads alone are measured once more.
- one by one: a loop over layers and runs with scikit-learn's StandardScaler and LogisticRegression (its defaults; C = 1 / (l2 x
  training clips) is the same problem). MEASURED: a few fits, spread over layers and runs; EXTRAPOLATED: their mean x 375.
- our own solver called for one head at a time, on the same layers and runs: what of the gain is the stacking. EXTRAPOLATED too.
- agreement: held-out accuracy and predictions of these fits against the same heads in the stack.

`--quick`: 7 layers of 256 features of 800 clips.

JSON keys: study_seconds, study_cpu_seconds, heads_cpu_seconds (ours); one_by_one_cpu_seconds, alone_cpu_seconds (both
extrapolated), fits_measured; heads_ratio (one by one / heads of ours, processor time, bigger is better), study_ratio (the same
against the whole study, which does more), stacking_ratio (alone / heads); accuracy_difference (largest, one by one against the
stack), same_predictions (share); alone_ before both: our solver alone; block (start, stop), planted_peak, best_layer, best_score,
peak_memory_gib (of this process, when the study had ended).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmarks.command import Figure, parser, write_figures
from benchmarks.measuring import peak_memory_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer.layer_study.config import LayerStudyConfig

CLASSES, SPEAKERS, LATENT = 6, 160, 192


@dataclass(frozen=True)
class Made:
    """Features with a known peak."""

    features: NDArray[np.float32]
    """(clips, layers, width)."""
    labels: NDArray[np.int64]
    speakers: list[str | None]
    peak: int
    """Hidden state that tells most."""


def main() -> None:
    """Run the benchmark."""
    chosen = parser(__doc__ or "").parse_args()
    figures = measured(quick=chosen.quick)
    show(figures)
    write_figures(chosen.json, figures)


def made(layers: int, clips: int, width: int) -> Made:
    """The corpus, the same at every call."""
    import numpy as np

    rng = np.random.default_rng(5)
    labels, who = rng.integers(0, CLASSES, clips), rng.integers(0, SPEAKERS, clips)
    spectrum = (1 + np.arange(LATENT, dtype=np.float32)) ** -0.7
    centres = rng.standard_normal((CLASSES, LATENT), dtype=np.float32)
    peak = round(0.6 * (layers - 1))
    features = np.empty((clips, layers, width), dtype=np.float32)
    for layer in range(layers):
        strength = 0.1 + 0.25 * np.exp(-(((layer - peak) / (0.2 * layers)) ** 2))
        shifts = rng.standard_normal((SPEAKERS, LATENT), dtype=np.float32)
        hidden = strength * centres[labels] + 0.7 * shifts[who]
        hidden += rng.standard_normal((clips, LATENT), dtype=np.float32)
        picture = rng.standard_normal((LATENT, width), dtype=np.float32)
        noise = rng.standard_normal((clips, width), dtype=np.float32)
        features[:, layer] = (hidden * spectrum) @ picture + 0.3 * noise
    return Made(features, labels, [f"speaker{i}" for i in who], peak)


def measured(*, quick: bool) -> dict[str, Figure]:
    """All figures."""
    import numpy as np
    import torch

    from mer.layer_study.config import LayerStudyConfig
    from mer.layer_study.probes import ProbeTraining, train_stacked_probes
    from mer.layer_study.study import held_out_clips, study_layers

    corpus = made(7, 800, 256) if quick else made(25, 3373, 1024)
    config = LayerStudyConfig()
    study, study_seconds, study_cpu = timed(
        lambda: study_layers(corpus.features, corpus.labels, corpus.speakers, config)
    )
    memory = peak_memory_bytes()  # before the references add theirs
    train = ~held_out_clips(corpus.speakers, corpus.labels, config)  # (R, N)
    by_layer = torch.from_numpy(corpus.features.transpose(1, 0, 2).copy())
    truth = torch.from_numpy(corpus.labels)

    def heads(layers: slice, runs: slice) -> NDArray[np.int64]:
        found = train_stacked_probes(
            by_layer[layers], truth, torch.from_numpy(train[runs]), CLASSES,
            ProbeTraining(config.l2, config.iterations, config.tolerance),
        )  # fmt: skip
        return np.asarray(found.logits.argmax(dim=-1).numpy(), dtype=np.int64)

    def by_loop(layer: int, run: int) -> NDArray[np.int64]:
        return one_fit(corpus, train[run], layer, config)

    def alone(layer: int, run: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = heads(slice(layer, layer + 1), slice(run, run + 1))[0, 0]
        return found

    stacked, _, heads_cpu = timed(lambda: heads(slice(None), slice(None)))
    sample = spread(by_layer.shape[0], len(train), 4 if quick else 8)
    by_loop(*sample[0])  # imports, and warms up
    fits = by_layer.shape[0] * len(train)
    costs, differences, same = {}, {}, {}
    for name, fit in (("one_by_one", by_loop), ("alone", alone)):
        found = {place: timed(partial(fit, *place)) for place in sample}
        costs[name] = fits * fmean(cpu for *_, cpu in found.values())
        pairs = [(found[layer, run][0], stacked[layer, run], ~train[run]) for layer, run in sample]
        differences[name] = max(
            abs(accuracy_of(one, corpus, rows) - accuracy_of(ours, corpus, rows)) for one, ours, rows in pairs
        )
        same[name] = fmean(float((one[rows] == ours[rows]).mean()) for one, ours, rows in pairs)
    return {
        "clips": len(corpus.labels), "layers": by_layer.shape[0], "width": by_layer.shape[2], "fits": fits,
        "study_seconds": study_seconds, "study_cpu_seconds": study_cpu, "heads_cpu_seconds": heads_cpu,
        "one_by_one_cpu_seconds": costs["one_by_one"], "alone_cpu_seconds": costs["alone"],
        "fits_measured": len(sample), "heads_ratio": costs["one_by_one"] / heads_cpu,
        "study_ratio": costs["one_by_one"] / study_cpu, "stacking_ratio": costs["alone"] / heads_cpu,
        "accuracy_difference": differences["one_by_one"], "same_predictions": same["one_by_one"],
        "alone_accuracy_difference": differences["alone"], "alone_same_predictions": same["alone"],
        "block": [study.best_block.start, study.best_block.stop], "planted_peak": corpus.peak,
        "best_layer": study.best_layer, "best_score": float(study.mean.max()),
        "peak_memory_gib": memory / 2**30,
    }  # fmt: skip


def accuracy_of(predicted: NDArray[np.int64], corpus: Made, rows: NDArray[np.bool_]) -> float:
    """Share of these clips that is right."""
    return float((predicted[rows] == corpus.labels[rows]).mean())


def one_fit(
    corpus: Made, train: NDArray[np.bool_], layer: int, config: LayerStudyConfig
) -> NDArray[np.int64]:
    """Predictions for all clips of one head, as a loop over layers and runs would fit it."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    values = np.ascontiguousarray(corpus.features[:, layer])
    scaler = StandardScaler().fit(values[train])
    head = LogisticRegression(C=1 / (config.l2 * int(train.sum())), max_iter=1000)
    head.fit(scaler.transform(values[train]), corpus.labels[train])
    return np.asarray(head.predict(scaler.transform(values)), dtype=np.int64)


def spread(layers: int, runs: int, count: int) -> list[tuple[int, int]]:
    """(layer, run) pairs over the whole range of both."""
    return [(round(i * (layers - 1) / (count - 1)), (4 * i) % runs) for i in range(count)]


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, wall seconds and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def show(figures: Mapping[str, Figure]) -> None:
    """The table for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", title="layer study: all heads at once against one by one (extrapolated)")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.4g}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
