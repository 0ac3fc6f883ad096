"""How far an answer is trusted: streams that say nothing are not read, and clips unlike the training set get no sure answer.

An answer of trust t is `t * p + (1 - t) / C`: with probability t what the model says, else any class. The class stays the
model's, and its confidence is at most `t + (1 - t) / C`. Valence goes towards its mean in the training set by the same share.
The answer for a clip of which nothing was read is the training set itself: its class shares, its mean valence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.domain.training_domain import TrainingDomain
from mer.emotions import VALENCE_RANGE
from mer.features.clip_feature import TOO_SHORT
from mer.predictions import Evidence
from mer.predictor.inspection import BLANK, NO_SPEECH
from mer.recipes import Recipe
from mer.stream_tables import LevelTables, without_clips

OUT_OF_DOMAIN, ONE_MODALITY = "out_of_domain", "one_modality"
DOUBTED = 0.25
"""Trust in the answer for a clip that is out of domain, or of which nothing but doubtful streams was read."""
SAYS_NOTHING = frozenset({NO_SPEECH, BLANK, TOO_SHORT})
"""Flags of a stream that is not read."""
DOUBTFUL = frozenset({"no_face"})
"""Flags of a stream on which alone no sure answer rests."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Findings:
    """What was there of N clips, by stream."""

    present: Mapping[str, Mask]
    """(N,) the clip has the stream."""
    flags: Mapping[str, Sequence[tuple[str, ...]]]
    """(N,) what is odd about it, or why it is absent."""
    recognised: Mapping[str, Mask]
    """(N,) of streams of texts that a recogniser writes: the clip's text is one."""

    def carrying(self, name: str, flags: frozenset[str]) -> Mask:
        """(N,) clips whose stream has one of these flags."""
        return np.array([not flags.isdisjoint(of_clip) for of_clip in self.flags[name]], dtype=bool)

    @property
    def saying_nothing(self) -> dict[str, Mask]:
        """Stream -> (N,) clips of which it says nothing; nor does a text that was recognised where nobody speaks."""
        nothing = {name: self.carrying(name, SAYS_NOTHING) for name in self.present}
        speechless = [self.carrying(name, frozenset({NO_SPEECH})) for name in self.present]
        silent = np.logical_or.reduce(speechless) if speechless else np.zeros(0, dtype=bool)
        return {name: mask | (silent & self.recognised.get(name, False)) for name, mask in nothing.items()}


@dataclass(frozen=True)
class Weighed:
    """The tables that are answered by, and how far each answer is trusted."""

    tables: LevelTables
    """Streams that say nothing of a clip are absent."""
    evidence: tuple[Evidence, ...]
    """(N,)"""


def weigh(
    tables: LevelTables, findings: Findings, recipe: Recipe, domain: TrainingDomain | None, *, maskable: bool
) -> Weighed:
    """Leave out what says nothing, and find what lies outside of the training set.

    Args:
        tables: what the system reads of N clips, at every level that it reads.
        findings: of the same clips.
        recipe: names the streams and their modalities.
        domain: of the training set; None: nothing is out of domain.
        maskable: the system can do without streams; if not, all are read, and an answer by one that says nothing is doubted.
    """
    count = len(next(iter(next(iter(tables.values())).values())).clip_ids)
    nothing = findings.saying_nothing
    if maskable:
        of_table = {recipe.table_name(name): name for name in nothing}
        tables = {
            level: {
                table: without_clips(values, nothing[of_table[_stream_table(table, of_table)]])
                for table, values in streams.items()
            }
            for level, streams in tables.items()
        }
    usable = {name: findings.present[name] & ~nothing[name] for name in findings.present}
    sure = {name: mask & ~findings.carrying(name, DOUBTFUL) for name, mask in usable.items()}
    outside = (
        domain.outside(tables[domain.level]) if domain and domain.level in tables else np.zeros(count, bool)
    )
    modalities = {name: recipe.streams[name].modality for name in usable}
    evidence = []
    for row in range(count):
        read = tuple(name for name in recipe.reads if name in usable and usable[name][row])
        flags = list(dict.fromkeys(flag for name in findings.flags for flag in findings.flags[name][row]))
        if outside[row]:
            flags.append(OUT_OF_DOMAIN)
        if len(set(modalities.values())) > 1 and len({modalities[name] for name in read}) == 1:
            flags.append(ONE_MODALITY)
        trust = 1.0 if any(sure[name][row] for name in read) and not outside[row] else DOUBTED
        if not maskable and any(nothing[name][row] for name in nothing):
            trust = DOUBTED
        evidence.append(Evidence(read, tuple(flags), trust if read else 0.0))
    return Weighed(tables, tuple(evidence))


def trusted_shares(
    shares: NDArray[np.float64], evidence: Sequence[Evidence], domain: TrainingDomain | None
) -> NDArray[np.float64]:
    """Posteriors (N, C) by how far each is trusted; those of trust 1 bit for bit."""
    trust = np.array([one.trust for one in evidence]).reshape(-1, 1)
    classes = shares.shape[1]
    known = domain is not None and len(domain.class_shares) == classes
    if not known:  # a package of before: what the model says of any clip is all that is known
        trust = np.where(trust == 0, DOUBTED, trust)
    mixed = trust * shares + (1 - trust) / classes
    if domain is not None and known:
        mixed = np.where(trust == 0, np.array(domain.class_shares), mixed)
    return np.where(trust == 1, shares, mixed)


def trusted_valence(
    valence: NDArray[np.floating], evidence: Sequence[Evidence], domain: TrainingDomain | None
) -> NDArray[np.float64]:
    """Valence (N,) clipped to its range, by how far each is trusted; NaN stays. Where no mean is known it goes towards 0."""
    trust = np.array([one.trust for one in evidence])
    clipped = np.clip(valence.astype(np.float64), *VALENCE_RANGE)
    mean = domain.valence if domain is not None and domain.valence is not None else 0.0
    return np.where(trust == 1, clipped, trust * clipped + (1 - trust) * mean)


def _stream_table(table: str, tables: Mapping[str, str]) -> str:
    """The stream's table that a table belongs to: what was learnt beside frames is `<table>/learnt`."""
    return table if table in tables else table.rpartition("/")[0]
