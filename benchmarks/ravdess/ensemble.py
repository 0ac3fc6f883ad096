"""RAVDESS with frozen features: an ensemble searched inside training folds, against plain logistic regression.

    python -m benchmarks.ravdess.ensemble [--quick] [--json PATH] [--corpus PATH] [--encoder SOURCE] [--workers 2]

Published speaker-independent folds. For each outer fold, candidates (benchmarks/ravdess/candidates.py: kernel ridge and logistic
regressions over layers of a frozen speech encoder, action units, loudness and length; the recordings also at .9 and 1.1 of their
speed) are judged on five inner folds of that fold's training speakers. Bagged greedy selection turns their out-of-fold posteriors
into weights, the chosen ones are trained on all training speakers, and the test fold is predicted once. The search is given the
examples with the test labels blanked; one function, `judged`, reads them, at the end. Features are kept in `--features`.

`--quick`: one sentence, first repetitions, no slow variant, two inner folds: shows that all of it runs, not how good it is.

Systems (rows): `logistic` (layer 2 + action units, C chosen on the same inner folds), `single` (per outer fold the candidate with
the best inner accuracy), `ensemble` (the searched one: the acceptance figure). With `--six` all three again on six classes,
without calm and disgust (`logistic_six`, ...). With `--transductive` again on features standardised per speaker over that
speaker's unlabelled clips (`ensemble_transductive`, ...; its `logistic` is the plain one): that needs all clips of a test speaker
at once, so it is another task.

JSON keys, with the system in front (`ensemble_accuracy_mean`, ...): accuracy_mean (of folds), accuracy_folds, accuracy (pooled),
waf, macro_f1, interval_low, interval_high (95 %, pooled accuracy, speakers resampled), difference (pooled accuracy minus that of
`logistic`), difference_low, difference_high. And inner_accuracy (mean over outer folds of what the search saw), models (trained).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from benchmarks.command import Figure, parser, write_figures
from benchmarks.ravdess.fold_scores import scores

if TYPE_CHECKING:
    from benchmarks.ravdess.streams import Corpus
    from mer.ensemble.search import SearchedEnsemble
    from mer.posteriors import Posteriors

LEFT_OUT_OF_SIX = ("calm", "disgust")


@dataclass(frozen=True)
class Settings:
    """What one run of the procedure is."""

    quick: bool
    transductive: bool = False

    @property
    def inner_folds(self) -> int:
        """Inner folds of every outer fold."""
        return 2 if self.quick else 5


@dataclass(frozen=True)
class FoldOutcome:
    """One outer fold: predictions of its test clips, without a look at their labels."""

    fold: int
    predictions: Mapping[str, Posteriors]
    """`logistic`, `single`, `ensemble`."""
    search: SearchedEnsemble
    models: int
    """Trained for all of them."""
    logistic: str
    """What was chosen for `logistic`."""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--corpus", default="../shared/data/ravdess", help="folder with labels.csv, audio/")
    options.add_argument(
        "--encoder",
        default="../shared/models/moonshine-tiny-encoder",
        help="folder or `wheel:moonshine-tiny`",
    )
    options.add_argument("--features", type=Path, default=Path(".mer/ravdess_ensemble"), help="kept features")
    options.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    options.add_argument("--six", action="store_true", help="also search on six classes")
    options.add_argument("--transductive", action="store_true", help="also standardise per speaker")
    chosen = options.parse_args()
    if not (Path(chosen.corpus) / "labels.csv").is_file():
        options.error(f"expected labels.csv, audio/ and features/ in {chosen.corpus}; give --corpus PATH")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # of the workers, which start afresh

    from benchmarks.ravdess.streams import load_corpus

    corpus = load_corpus(
        Path(chosen.corpus), chosen.encoder, chosen.features, chosen.workers, quick=chosen.quick
    )
    settings = Settings(quick=chosen.quick)
    figures = measured("", corpus, settings, chosen.workers)
    if chosen.six:
        six = corpus.without(LEFT_OUT_OF_SIX)
        figures |= measured("_six", six, settings, chosen.workers)
    if chosen.transductive:
        figures |= measured("_transductive", corpus, replace(settings, transductive=True), chosen.workers)
    write_figures(chosen.json, figures)


def measured(suffix: str, corpus: Corpus, settings: Settings, workers: int) -> dict[str, Figure]:
    """All outer folds, the table, and the figures."""
    folds = sorted({int(fold) for fold in corpus.examples.fold})
    outcomes = []
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
        for outcome in pool.map(partial(outer_fold, corpus, settings), folds):
            outcomes.append(outcome)
            chosen = outcome.search
            print(
                f"outer fold {outcome.fold}: logistic {outcome.logistic}; inner accuracy {chosen.accuracy:.3f} "
                f"(best single {chosen.inner_accuracy[chosen.best_single]:.3f}, {chosen.best_single}); "
                + ", ".join(
                    f"{weight:.2f} {name}"
                    for weight, name in sorted(
                        zip(chosen.ensemble.weights, chosen.ensemble.members, strict=True), reverse=True
                    )
                ),
                flush=True,
            )
    figures = {
        f"{name}{suffix}_{key}": figure
        for name, own in judged(corpus, outcomes).items()
        for key, figure in own.items()
    }
    figures[f"inner_accuracy{suffix}"] = fmean(outcome.search.accuracy for outcome in outcomes)
    figures[f"models{suffix}"] = sum(outcome.models for outcome in outcomes)
    show(suffix, figures)
    return figures


def outer_fold(corpus: Corpus, settings: Settings, fold: int) -> FoldOutcome:
    """Search and predict one outer fold; the test clips' labels are blanked before anything else happens."""
    import torch

    from benchmarks.ravdess.candidates import families, reference
    from mer.ensemble.search import predict_searched, search_ensemble, seen_by

    torch.set_num_threads(1)
    learn, asked = corpus.examples.fold != fold, corpus.examples.fold == fold
    examples = seen_by(corpus.examples, learn)
    streams = corpus.per_speaker() if settings.transductive else corpus.streams
    classes = len(corpus.classes)
    candidates = families(streams, classes, quick=settings.quick)

    def progress(done: int, parts: int) -> None:
        print(f"outer fold {fold}: inner fold {done} of {parts}", flush=True)

    found = search_ensemble(candidates, examples, learn, folds=settings.inner_folds, progress=progress)
    again = predict_searched(candidates, examples, learn, asked, found.retrained)
    plain = [reference(corpus.streams, classes)]
    held_against = search_ensemble(plain, examples, learn, folds=settings.inner_folds)
    penalty = held_against.best_single
    predictions = {
        "logistic": predict_searched(plain, examples, learn, asked, [penalty])[penalty],
        "single": again[found.best_single],
        "ensemble": found.ensemble.combine(again),
    }
    return FoldOutcome(
        fold, predictions, found, found.models + len(found.retrained) + held_against.models + 1, penalty
    )


def judged(corpus: Corpus, outcomes: Sequence[FoldOutcome]) -> dict[str, dict[str, Figure]]:
    """Scores of every system: the one place where test labels are read."""
    references = dict.fromkeys(outcomes[0].predictions, "logistic")
    return scores(corpus.examples, len(corpus.classes), outcomes, references)


def show(suffix: str, figures: Mapping[str, Figure]) -> None:
    """Print the table of one run."""
    print(
        f"\n{'system':26}{'folds':33}{'mean':7}{'WAF':7}{'macro-F1':10}{'95 % of accuracy':18}minus logistic (95 %)"
    )
    for key in [key for key in figures if key.endswith(f"{suffix}_accuracy_mean")]:
        name = key.removesuffix("_accuracy_mean")
        own = {
            part: figures[f"{name}_{part}"]
            for part in (
                "accuracy_mean", "waf", "macro_f1", "interval_low", "interval_high",
                "difference", "difference_low", "difference_high",
            )
        }  # fmt: skip
        folds = figures[f"{name}_accuracy_folds"]
        assert not isinstance(folds, float | int | str)
        print(
            f"{name:26}{' '.join(f'{one:.3f}' for one in folds):33}"
            "{accuracy_mean:<7.3f}{waf:<7.3f}{macro_f1:<10.3f}{interval_low:.3f}-{interval_high:<12.3f}"
            "{difference:+.3f} ({difference_low:+.3f} to {difference_high:+.3f})".format(**own)
        )
    print(
        f"accuracy seen by the search {figures[f'inner_accuracy{suffix}']:.3f}; "
        f"{figures[f'models{suffix}']} models\n",
        flush=True,
    )


if __name__ == "__main__":
    main()
