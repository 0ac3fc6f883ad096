"""Clips of speakers that differ from one another, drawn without drift or with a planted one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer.drift.measured import MeasuredClips

WIDTH, CLASSES = 60, 6
EMOTIONS = tuple("abcdef")
MEANS = np.random.default_rng(99).normal(size=(CLASSES, WIDTH)) * 0.8


def clips(
    rng: np.random.Generator,
    speakers: int,
    each: int,
    *,
    tag: str = "t",
    shift: float = 0.0,
    between: float = 0.7,
    prior: Sequence[float] | None = None,
    noise: float = 0.0,
    named: bool = True,
) -> MeasuredClips:
    """`speakers` x `each` clips.

    Args:
        rng: draws everything.
        speakers: how many; each lies `between` beside the others.
        each: clips of a speaker.
        tag: begins all names.
        shift: of a third of the acoustic features (another channel).
        between: deviation between speakers.
        prior: shares of the classes; None: equal.
        noise: decibels of signal to noise that are lost.
        named: whether speakers are known.
    """
    who = np.repeat(np.arange(speakers), each)
    truth = rng.choice(CLASSES, len(who), p=prior)
    values = (
        MEANS[truth] + rng.normal(0, between, (speakers, WIDTH))[who] + rng.normal(size=(len(who), WIDTH))
    )
    values[:, : WIDTH // 3] += shift
    logits = values @ MEANS.T / 3 + rng.normal(0, between, (speakers, CLASSES))[who]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    snr = 20 + 3 * rng.normal(size=speakers)[who] + 3 * rng.normal(size=len(who)) - noise
    brightness = rng.normal(size=speakers)[who] * between + rng.normal(size=len(who))
    return MeasuredClips(
        tuple(f"{tag}{row}" for row in range(len(who))),
        tuple(f"{tag}{number}" if named else None for number in who),
        {
            "acoustic": values.astype(np.float32),
            "visual": rng.normal(size=(len(who), 20)).astype(np.float32),
        },
        {"snr_db": snr, "brightness": brightness},
        shares / shares.sum(axis=1, keepdims=True),
    )
