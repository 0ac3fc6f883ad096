"""All tests of a batch at once: every difference with a p-value that counts how many were looked at.

Of every test the statistic is computed under the same exchanges of speakers. A test's own p-value is the share of exchanges
that give as large a value. All statistics are brought to mean 0 and deviation 1 over the exchanges, and the largest is looked up
among the largest ones of all exchanges (max-T, Westfall and Young 1993, single step). So a batch of known speakers that did not
drift gives an alarm with probability alpha at most, whatever the tests have in common, and however many streams there are (about
alpha where speakers are not known: docs/drift.md). Principal
components are those of both sets together, so that the exchange is exact.

Families: `embeddings` (of each stream: its leading components by Kolmogorov-Smirnov, all of it by maximum mean discrepancy
and by a classifier), `predictions` (probabilities and confidence), `quality` (its columns, and which streams are missing),
`priors` (mean probabilities: the score test of class priors).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mer.drift.config import DriftConfig
from mer.drift.exchange import Exchange, design_effect, exchange_of, matched_rows
from mer.drift.measured import MeasuredClips
from mer.drift.statistics import (
    classifier_accuracy,
    kolmogorov_smirnov,
    maximum_mean_discrepancy,
    mean_distance,
)

Floats = NDArray[np.float64]
TESTED_COMPONENTS, CLASSIFIED_COMPONENTS = 8, 24
"""Leading principal components of a stream that are tested one by one, and that the classifier reads."""
FAMILIES = ("embeddings", "predictions", "quality", "priors")


@dataclass(frozen=True, kw_only=True)
class DriftTest:
    """One difference between the training snapshot and the batch."""

    family: str
    what: str
    """Of what: a stream, a class, a column."""
    method: str
    """`KS`, `MMD`, `classifier` or `means`."""
    statistic: float
    effect: float
    """0: the same distributions, 1: nothing in common (KS distance; twice the accuracy above one half; of `means` half the sum of
    differences of mean probabilities; of `MMD` that of the stream's classifier)."""
    p_value: float
    """By exchanging speakers; of this test alone."""
    adjusted: float
    """... of all tests together: at most alpha in a share alpha of batches that did not drift, where speakers are known."""
    independent: float | None = None
    """Of KS: p-value as if clips were independent (scipy), which is too small where speakers differ. None: of other methods."""


@dataclass(frozen=True)
class Battery:
    """All tests of a batch."""

    tests: tuple[DriftTest, ...]
    units: tuple[int, int]
    """Speakers (or clips) of the training snapshot and of the batch."""
    by_speaker: bool
    pairs: int
    """Speakers in both, compared with themselves."""
    arrangements: float
    clips: tuple[int, int]
    """Clips of both that were compared."""
    least_p: float
    """Least p-value that a test could have: above alpha nothing can alarm."""

    def alarms(self, config: DriftConfig) -> tuple[DriftTest, ...]:
        """Tests that alarm, the largest effect first."""
        found = [
            one for one in self.tests if one.adjusted <= config.alpha and one.effect >= config.least_effect
        ]
        return tuple(sorted(found, key=lambda one: -one.effect))


@dataclass(frozen=True)
class _Candidate:
    family: str
    what: str
    method: str
    values: Floats
    """(1 + P,) statistic under every draw."""
    effect: float
    deflation: float
    """What the observed statistic is divided by where speakers are not known."""
    independent: float | None = None


def run_battery(
    reference: MeasuredClips, batch: MeasuredClips, config: DriftConfig, classes: Sequence[str]
) -> Battery:
    """Test a batch against clips of the training snapshot.

    Args:
        reference: of the training snapshot.
        batch: new clips.
        config: options.
        classes: names of the classes, in index order.
    """
    old, new = matched_rows(reference.speakers, batch.speakers, config.seed)
    reference, batch = reference.taken(old), batch.taken(new)
    exchange = exchange_of(reference.speakers, batch.speakers, config.alpha)
    # another batch, other exchanges: what is amiss in one draw must not be so every night
    draws = exchange.draws(config.permutations, [config.seed, crc32("\0".join(batch.names).encode())])
    candidates = [
        *_embeddings(reference, batch, exchange, draws),
        *_predictions(reference, batch, exchange, draws, classes),
        *_quality(reference, batch, exchange, draws),
    ]
    ranks, adjusted = _adjusted(candidates)
    tests = tuple(
        DriftTest(
            family=one.family,
            what=one.what,
            method=one.method,
            statistic=float(one.values[0]),
            effect=one.effect,
            p_value=float(ranks[row]),
            adjusted=float(adjusted[row]),
            independent=one.independent,
        )
        for row, one in enumerate(candidates)
    )
    return Battery(
        tests=tests,
        units=(int((~exchange.new).sum()), int(exchange.new.sum())),
        by_speaker=exchange.by_speaker,
        pairs=len(exchange.pairs),
        arrangements=exchange.arrangements,
        clips=(len(reference), len(batch)),
        least_p=max(1 / len(draws), 1 / exchange.arrangements),
    )


def _adjusted(candidates: Sequence[_Candidate]) -> tuple[Floats, Floats]:
    """(tests,) p-values of each test alone, and of all together."""
    if not candidates:
        return np.zeros(0), np.zeros(0)
    values = np.stack([one.values for one in candidates], axis=1)
    values[0] /= np.array([one.deflation for one in candidates])
    # equal arrangements may differ by rounding
    values = np.round(values, 10)
    alone = (values >= values[0]).mean(axis=0)
    deviation = values.std(axis=0)
    scores = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    largest = np.round(scores.max(axis=1), 8)
    adjusted = (largest[:, None] >= np.round(scores[0], 8)).mean(axis=0)
    return alone, adjusted


def _embeddings(
    reference: MeasuredClips, batch: MeasuredClips, exchange: Exchange, draws: Floats
) -> Iterator[_Candidate]:
    for stream in sorted(set(reference.vectors) & set(batch.vectors)):
        both = _both(reference, batch, stream)
        present = ~np.isnan(both).any(axis=1)
        is_old = np.arange(len(both)) < len(reference)
        if min((present & is_old).sum(), (present & ~is_old).sum()) < 4:
            continue
        standardised = _standardised(both[present])
        components = _principal(standardised, min(CLASSIFIED_COMPONENTS, present.sum() // 4))
        rows, unit = np.flatnonzero(present), exchange.unit[present]
        effect_of_speakers = _deflation(components[:, :TESTED_COMPONENTS], rows, reference, exchange)
        accuracy = classifier_accuracy(components, unit, exchange.speaker, draws)
        separated = max(0.0, 2 * float(accuracy[0]))
        yield _Candidate(
            "embeddings", stream, "classifier", accuracy, separated, float(np.sqrt(effect_of_speakers))
        )
        discrepancy = maximum_mean_discrepancy(standardised, unit, draws)
        yield _Candidate(
            "embeddings", stream, "MMD", discrepancy, separated, float(np.sqrt(effect_of_speakers))
        )
        for number in range(min(TESTED_COMPONENTS, components.shape[1])):
            column = np.full(len(both), np.nan)
            column[present] = components[:, number]
            name = f"{stream} component {number + 1}"
            yield _ks("embeddings", name, column, reference, exchange, draws)


def _predictions(
    reference: MeasuredClips, batch: MeasuredClips, exchange: Exchange, draws: Floats, classes: Sequence[str]
) -> Iterator[_Candidate]:
    both = np.concatenate([reference.probabilities, batch.probabilities])
    known = ~np.isnan(both).any(axis=1)
    is_old = np.arange(len(both)) < len(reference)
    if both.shape[1] == 0 or min((known & is_old).sum(), (known & ~is_old).sum()) < 4:
        return
    for number, name in enumerate(classes):
        yield _ks("predictions", f"P({name})", both[:, number], reference, exchange, draws)
    yield _ks("predictions", "confidence", np.asarray(both.max(axis=1)), reference, exchange, draws)
    rows = np.flatnonzero(known)
    gap = both[known & ~is_old].mean(axis=0) - both[known & is_old].mean(axis=0)
    distance = mean_distance(both[known], exchange.unit[known], draws)
    deflation = _deflation(both[known], rows, reference, exchange)
    yield _Candidate(
        "priors", "class priors", "means", distance, float(np.abs(gap).sum()) / 2, float(np.sqrt(deflation))
    )


def _quality(
    reference: MeasuredClips, batch: MeasuredClips, exchange: Exchange, draws: Floats
) -> Iterator[_Candidate]:
    for column in sorted(set(reference.quality) & set(batch.quality)):
        values = np.concatenate([reference.quality[column], batch.quality[column]])
        known = ~np.isnan(values)
        if min(known[: len(reference)].sum(), known[len(reference) :].sum()) >= 4:
            yield _ks("quality", column, values, reference, exchange, draws)
    for stream in sorted(set(reference.vectors) & set(batch.vectors)):
        both = _both(reference, batch, stream)
        missing = np.asarray(np.isnan(both).any(axis=1), dtype=np.float64)
        if missing.any():
            yield _ks("quality", f"{stream} missing", missing, reference, exchange, draws)


def _ks(
    family: str, what: str, values: Floats, reference: MeasuredClips, exchange: Exchange, draws: Floats
) -> _Candidate:
    from scipy.stats import ks_2samp

    known = ~np.isnan(values)
    rows = np.flatnonzero(known)
    old, new = values[: len(reference)], values[len(reference) :]
    alone = ks_2samp(old[~np.isnan(old)], new[~np.isnan(new)], method="asymp")
    deflation = float(np.sqrt(_deflation(values[known][:, None], rows, reference, exchange)))
    distances = kolmogorov_smirnov(values, exchange.unit, draws)
    return _Candidate(family, what, "KS", distances, float(distances[0]), deflation, float(alone.pvalue))


def _deflation(
    values: Floats, rows: NDArray[np.int64], reference: MeasuredClips, exchange: Exchange
) -> float:
    """Design effect of the training speakers, where clips are exchanged because the new ones' speakers are not known."""
    if exchange.by_speaker:
        return 1.0
    old = rows < len(reference)
    return design_effect(values[old], [reference.speakers[row] for row in rows[old].tolist()])


def _both(reference: MeasuredClips, batch: MeasuredClips, stream: str) -> Floats:
    """(N + M, D) vectors of a stream; a set in which no clip has it may have guessed another width, and is NaN anyway."""
    parts = [side.vectors[stream].astype(np.float64) for side in (reference, batch)]
    width = max((part.shape[1] for part in parts if not np.isnan(part).all()), default=parts[0].shape[1])
    return np.concatenate(
        [part if part.shape[1] == width else np.full((len(part), width), np.nan) for part in parts]
    )


def _standardised(values: Floats) -> Floats:
    deviation = values.std(axis=0)
    varies = deviation > 1e-9 * max(float(deviation.max()), 1e-300)
    return np.asarray((values[:, varies] - values[:, varies].mean(axis=0)) / deviation[varies])


def _principal(standardised: Floats, count: int) -> Floats:
    """(N, K) scores of the leading principal components."""
    from sklearn.utils.extmath import randomized_svd

    most = max(1, min(count, *standardised.shape))
    left, lengths, _ = randomized_svd(standardised, most, n_iter=4, random_state=0)
    return np.asarray(left * lengths)
