"""What tells sounds unlike the training set: four distances from it, with thresholds from held-out speakers.

    python -m benchmarks.robustness.out_of_domain [--corpus PATH] [--encoder SOURCE] [--quick] [--json PATH]

RAVDESS, published folds: the distance is fitted on four folds, its threshold is the .99 quantile of speakers that were held out
within them, and the fifth fold says how many clips of new speakers are flagged though they should not be. Everything else is to
be flagged: silence, tones, noise, music-like sounds, the demo corpus' synthetic speech, and RAVDESS itself reversed, in noise,
in a room, filtered. Features are those that a fusion reads: one hidden state (`--layer`), mean and deviation over time.

- components and rest: `mer.domain`, what packages hold; - components: the Mahalanobis distance within its components alone;
- neighbours: mean cosine distance to the ten nearest training clips, standardised (it stores the training set);
- classes: Mahalanobis distance to the nearest class in the space of a linear discriminant analysis;
- posterior: one minus the largest posterior of a logistic regression, the usual baseline.

`--quick`: 360 clips, 6 sounds of a kind, two folds.

JSON keys, each after `components_and_rest_`, `components_`, `neighbours_`, `classes_`, `posterior_`: `false_flags` (share of
clips of new speakers), `worst_speaker` (the largest share of one of them), and for every kind `auroc_<kind>`, `flagged_<kind>`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from mer.domain.fit import FALSE_FLAGS, threshold
from mer.domain.gaussian import fit_gaussian

Floats = NDArray[np.float64]
Distance = Callable[[Floats], Floats]
Fit = Callable[[Floats, NDArray[np.int64]], Distance]
"""Training clips and their classes -> distance of clips."""
NEIGHBOURS = 10


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--corpus", type=Path, default=Path("../shared/data/ravdess"), help="folder with labels.csv, audio/"
    )
    options.add_argument(
        "--encoder", default="../shared/models/moonshine-tiny-encoder", help="folder or wheel source"
    )
    options.add_argument("--features", type=Path, default=Path(".mer/ravdess_ensemble"), help="kept features")
    options.add_argument("--layer", type=int, default=3, help="hidden state that is read")
    options.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    chosen = options.parse_args()
    if not (chosen.corpus / "labels.csv").is_file():
        options.error(f"expected labels.csv and audio/ in {chosen.corpus}; give --corpus PATH")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # of the workers, which start afresh

    from benchmarks.ravdess.streams import layer, load_corpus
    from benchmarks.robustness.other_sounds import write_sounds
    from mer.ensemble.varied import PLAIN

    corpus = load_corpus(
        chosen.corpus,
        chosen.encoder,
        chosen.features,
        chosen.workers,
        quick=chosen.quick,
        speeds={PLAIN: 1.0},
    )
    values = corpus.streams[layer(chosen.layer)].values[PLAIN].astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        files = write_sounds([clip.path for clip in corpus.clips], 6 if chosen.quick else 30, Path(folder))
        others = {
            kind: read(paths, chosen.encoder, chosen.layer, chosen.features) for kind, paths in files.items()
        }
    folds = np.unique(corpus.examples.fold)[: 2 if chosen.quick else None]
    speakers = np.array(corpus.examples.speaker)
    figures: dict[str, Figure] = {}
    for name, fit in METHODS.items():
        judged = [
            one_fold(fit, (values, corpus.examples.emotion, speakers), corpus.examples.fold == fold, others)
            for fold in folds
        ]
        own = {key: float(np.mean([one[key] for one in judged])) for key in judged[0]}
        own["worst_speaker"] = max(one["worst_speaker"] for one in judged)
        show(name, own)
        figures |= {f"{name}_{key}".replace(" ", "_"): value for key, value in own.items()}
    write_figures(chosen.json, figures)


def read(paths: list[Path], encoder: str, layer: int, kept: Path) -> Floats:
    """(clips, 2 * width) of sounds, as the corpus was read."""
    from mer.clips import Clip
    from mer.features.extract import build_extractor, extract_clips
    from mer.features.spec import FeatureSpec

    spec = FeatureSpec(modality="acoustic", source=encoder, layers=(layer,))
    clips = [Clip(content=path.name, name=path.stem, path=path, corpus_root=path.parent) for path in paths]
    extractor = build_extractor(spec, kept / "weights", device="cpu")
    return np.stack([feature.values[0, 0] for feature in extract_clips(extractor, clips)]).astype(np.float64)


def one_fold(
    fit: Fit,
    clips: tuple[Floats, NDArray[np.int64], NDArray[np.str_]],
    tested: NDArray[np.bool_],
    others: Mapping[str, Floats],
) -> dict[str, float]:
    """What a fold's new speakers and the other sounds are taken for.

    Args:
        fit: how a distance is fitted.
        clips: values, classes and speakers.
        tested: clips of the fold.
        others: kind -> values of its sounds.
    """
    from sklearn.metrics import roc_auc_score

    values, classes, speakers = clips
    known, voices = values[~tested], speakers[~tested]
    parts = np.unique(voices, return_inverse=True)[1] % 5
    held_out = [
        fit(known[parts != part], classes[~tested][parts != part])(known[parts == part]) for part in range(5)
    ]
    limit, distance = threshold(np.concatenate(held_out), FALSE_FLAGS), fit(known, classes[~tested])
    inside = distance(values[tested])
    new = speakers[tested]
    judged = {
        "false_flags": float((inside > limit).mean()),
        "worst_speaker": max(float((inside[new == voice] > limit).mean()) for voice in np.unique(new)),
    }
    for kind, sounds in others.items():
        outside = distance(sounds)
        truth = np.repeat([0, 1], [inside.size, outside.size])
        judged[f"auroc_{kind}"] = float(roc_auc_score(truth, np.concatenate([inside, outside])))
        judged[f"flagged_{kind}"] = float((outside > limit).mean())
    return judged


def components_and_rest(values: Floats, classes: NDArray[np.int64]) -> Distance:
    """The product's."""
    return fit_gaussian(values).distance


def components(values: Floats, classes: NDArray[np.int64]) -> Distance:
    """Without what the components leave of a vector."""
    fitted = fit_gaussian(values)

    def distance(clips: Floats) -> Floats:
        scores = ((clips - fitted.mean) / fitted.scale) @ fitted.components
        return np.asarray(np.sqrt(np.mean(np.square(scores) / fitted.variances, axis=1)))

    return distance


def neighbours(values: Floats, classes: NDArray[np.int64]) -> Distance:
    """Mean cosine distance to the nearest training clips."""
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)

    def unit(clips: Floats) -> Floats:
        centred = (clips - mean) / scale
        return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))

    known = unit(values)
    return lambda clips: np.sort(1 - unit(clips) @ known.T, axis=1)[:, :NEIGHBOURS].mean(axis=1)


def classwise(values: Floats, classes: NDArray[np.int64]) -> Distance:
    """Distance to the nearest class mean where the classes' common covariance is the unit matrix."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(
        (values - mean) / scale, classes
    )
    means = np.stack(
        [
            analysis.transform((values[classes == one] - mean) / scale).mean(axis=0)
            for one in np.unique(classes)
        ]
    )

    def distance(clips: Floats) -> Floats:
        projected = analysis.transform((clips - mean) / scale)
        return np.asarray(np.linalg.norm(projected[:, None] - means, axis=2).min(axis=1))

    return distance


def posterior(values: Floats, classes: NDArray[np.int64]) -> Distance:
    """Doubt of a classifier."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    model = LogisticRegression(C=0.01, max_iter=300).fit((values - mean) / scale, classes)
    return lambda clips: 1 - model.predict_proba((clips - mean) / scale).max(axis=1)


METHODS: Mapping[str, Fit] = {
    "components_and_rest": components_and_rest,
    "components": components,
    "neighbours": neighbours,
    "classes": classwise,
    "posterior": posterior,
}


def show(name: str, figures: Mapping[str, float]) -> None:
    """One method's line, then one a kind."""
    print(
        f"{name}: flags {figures['false_flags']:.3f} of new speakers' clips, at worst {figures['worst_speaker']:.2f} of one's"
    )
    for key, value in figures.items():
        if key.startswith("auroc_"):
            kind = key.removeprefix("auroc_")
            print(f"  {kind:18} AUROC {value:.3f}, flagged {figures[f'flagged_{kind}']:.2f}")


if __name__ == "__main__":
    main()
