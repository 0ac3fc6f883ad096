"""Poisoned pseudo-labels on RAVDESS: 30 % of a batch's labels wrong, all from one source; what the guards stop and let through.

    python -m benchmarks.robustness.poisoned_labels [--quick] [--json PATH] [--seeds 10] [--corpus PATH] [--encoder SOURCE]

For every seed: one outer fold is unseen, four of the training speakers are labelled, four others are the canary (true labels that
only the guards read), the rest is the batch. The honest pseudo-labels are those of `benchmarks.self_training` (kernel machines,
share .8); of these, 30 % are made wrong, all of them clips of one made-up upload. Kinds: `random` classes, the `next` class,
all to `one` class, `none`. Compared are the models before and after learning from them, as a round of the refresh would.

JSON keys, by kind: <kind>_stopped, <kind>_named (share of seeds in which the guards stopped; in which the upload, and for
`none` any source, was named), <kind>_canary_fall, <kind>_test_fall (mean fall of weighted F1 if it were kept, of the canary
and of the unseen fold), <kind>_missed (seeds in which the canary would have fallen by more than a point and nothing stopped),
<kind>_through (largest fall of the unseen fold in a seed that was not stopped; 0: none fell or all were stopped).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.self_training.rounds import Mask, labelled_speakers, posteriors_of, ravdess_of, voters

if TYPE_CHECKING:
    from benchmarks.ravdess.streams import Corpus
    from mer.selftraining.guards import Finding

KINDS = ("none", "random", "next", "one")
UPLOAD = "upload"
WRONG = 0.3


@dataclass(frozen=True)
class Batch:
    """Clips of one seed."""

    labelled: Mask
    canary: Mask
    pool: Mask
    unseen: Mask


@dataclass(frozen=True)
class Refreshed:
    """What the guards say, and what the round would do."""

    findings: Sequence[Finding]
    canary_fall: float
    test_fall: float


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--seeds", type=int, default=10, help="draws of speakers and of the poison")
    chosen, corpus = ravdess_of(options)
    write_figures(chosen.json, measured(corpus, 2 if chosen.quick else chosen.seeds))


def measured(corpus: Corpus, seeds: int) -> dict[str, Figure]:
    """All seeds and kinds of poison."""
    from mer.selftraining.guards import stop_reason

    family = voters(corpus)
    results: dict[str, list[Refreshed]] = {kind: [] for kind in KINDS}
    for seed in range(seeds):
        batch = drawn(corpus, seed)
        honest = honest_labels(family, corpus, batch)
        for kind in KINDS:
            labels, sources = poisoned(corpus, honest, kind, seed)
            results[kind].append(refreshed(family, corpus, batch, labels, sources))
            own = results[kind][-1]
            stop = stop_reason(own.findings)
            print(
                f"seed {seed}, {kind:6}: canary would fall by {own.canary_fall:+.3f}, unseen fold by {own.test_fall:+.3f}; "
                f"{'stopped: ' + stop[:110] if stop else 'goes through'}",
                flush=True,
            )
    figures: dict[str, Figure] = {}
    for kind, rounds in results.items():
        stopped = [stop_reason(own.findings) is not None for own in rounds]
        named = [
            any(f.source == UPLOAD or (kind == "none" and f.source is not None) for f in own.findings)
            for own in rounds
        ]
        through = [own.test_fall for own, stop in zip(rounds, stopped, strict=True) if not stop]
        missed = [own.canary_fall > 0.01 and not stop for own, stop in zip(rounds, stopped, strict=True)]
        figures |= {
            f"{kind}_stopped": float(np.mean(stopped)),
            f"{kind}_named": float(np.mean(named)),
            f"{kind}_canary_fall": float(np.mean([own.canary_fall for own in rounds])),
            f"{kind}_test_fall": float(np.mean([own.test_fall for own in rounds])),
            f"{kind}_missed": int(np.sum(missed)),
            f"{kind}_through": max([0.0, *through]),
        }
    print("\n" + "\n".join(f"{name:22}{value:.4f}" for name, value in figures.items()), flush=True)
    return figures


def drawn(corpus: Corpus, seed: int) -> Batch:
    """Speakers of a seed; labels are not looked at."""
    examples = corpus.examples
    folds = sorted({int(fold) for fold in examples.fold})
    unseen = examples.fold == folds[seed % len(folds)]
    names = np.array(examples.speaker)
    labelled = ~unseen & np.isin(names, labelled_speakers(examples, ~unseen, seed))
    others = sorted(set(names[~unseen & ~labelled].tolist()))
    watching = np.random.default_rng(900 + seed).choice(others, 4, replace=False)
    canary = np.isin(names, watching)
    return Batch(labelled, canary, ~unseen & ~labelled & ~canary, unseen)


def honest_labels(family: Any, corpus: Corpus, batch: Batch) -> NDArray[np.int64]:
    """(N,) pseudo-label of the clips of the batch that are taken; -1 elsewhere."""
    from mer.selftraining.agreement import selected, vote
    from mer.selftraining.config import AgreementConfig

    examples, classes = corpus.examples, len(corpus.classes)
    truth = np.where(batch.labelled, examples.emotion, -1)
    rows = np.flatnonzero(batch.pool)
    said = vote(posteriors_of(family, examples, truth, np.full(len(truth), -1), rows))
    policy = AgreementConfig(agreeing=1, share=0.8)
    taken = selected(said, np.full(classes, np.inf), policy, np.zeros(len(rows), dtype=bool))
    labels = np.full(len(truth), -1, dtype=np.int64)
    labels[rows[taken]] = said.emotion[taken]
    return labels


def poisoned(
    corpus: Corpus, honest: NDArray[np.int64], kind: str, seed: int
) -> tuple[NDArray[np.int64], list[str | None]]:
    """Labels and sources: 30 % of the labels are wrong, and their clips are one upload."""
    examples, classes = corpus.examples, len(corpus.classes)
    sources: list[str | None] = list(examples.speaker)
    labels = honest.copy()
    if kind == "none":
        return labels, sources
    rng = np.random.default_rng(300 + seed)
    rows = np.flatnonzero(honest >= 0)
    bad = rng.choice(rows, int(WRONG * len(rows)), replace=False)
    away = rng.integers(1, classes, len(bad)) if kind == "random" else 1
    target = int(rng.integers(classes))
    labels[bad] = target if kind == "one" else (examples.emotion[bad] + away) % classes
    for row in bad:
        sources[row] = UPLOAD
    return labels, sources


def refreshed(
    family: Any, corpus: Corpus, batch: Batch, labels: NDArray[np.int64], sources: list[str | None]
) -> Refreshed:
    """Guards before and after a round that learns from these labels."""
    from benchmarks.ravdess.streams import FACE, layer
    from mer.ensemble.varied import PLAIN
    from mer.evaluation.metrics import confusion, waf
    from mer.selftraining.config import GuardsConfig
    from mer.selftraining.guards import canary_guard, class_share_guard, second_opinion, source_guard

    examples, classes, config = corpus.examples, len(corpus.classes), GuardsConfig()
    truth = np.where(batch.labelled, examples.emotion, -1)
    known = np.where(batch.labelled, truth, labels)
    pseudo = labels >= 0
    features = {name: corpus.streams[name].values[PLAIN] for name in (layer(2), FACE)}
    opinion = second_opinion(features, known, pseudo, sources, np.ones(len(known)))
    findings = [class_share_guard(truth[batch.labelled], labels[pseudo], corpus.classes, config)]
    findings += source_guard(
        [sources[row] for row in np.flatnonzero(pseudo)], (opinion == known)[pseudo], config
    )
    asked = np.flatnonzero(batch.canary | batch.unseen)
    none = np.full(len(truth), -1, dtype=np.int64)
    said = [posteriors_of(family, examples, truth, own, asked)[0].predicted for own in (none, labels)]
    falls = []
    for part in (batch.canary[asked], batch.unseen[asked]):
        right = examples.emotion[asked][part]
        before, after = (float(waf(confusion(right, own[part], classes))) for own in said)
        falls.append(before - after)
    watched = batch.canary[asked]
    right = examples.emotion[asked][watched]
    findings.append(canary_guard(right, said[0][watched], said[1][watched], classes, config))
    return Refreshed(findings, falls[0], falls[1])


if __name__ == "__main__":
    main()
