"""Which clips choose the epoch: whole speakers, held out of the clips that may be trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.examples import Examples
from mer.library.arrays import column
from mer.training.folds import inner_validation

_CLIP_BY_CLIP = "validation clips are held out clip by clip, classes kept even, and their scores are too good for new speakers"


def held_out(examples: Examples, usable: NDArray[np.bool_], share: float, seed: int) -> NDArray[np.bool_]:
    """(N,) about `share` of the usable clips, in whole speakers; nothing for a share of 0, or under 4 clips.

    Args:
        examples: labels and speakers.
        usable: (N,) clips to draw from.
        share: in [0, .5].
        seed: of the draw.

    Raises:
        ConfigError: too few speakers, so that one class alone would be left to train on.
    """
    if share == 0:
        return np.zeros(len(examples), dtype=bool)
    chosen = inner_validation(examples.speaker, examples.clip_ids, examples.emotion, usable, share, seed)
    if len(np.unique(examples.emotion[usable & ~chosen])) < 2 <= len(np.unique(examples.emotion[usable])):
        raise ConfigError(
            "validation: holding out whole speakers leaves training clips of one class only; give more speakers, or say which "
            "clips validate: `validation=` (a mask, or False for none)"
        )
    return chosen


def speaker_note(
    given: bool, examples: Examples, usable: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> str | None:
    """What to warn of where validation clips are not of other speakers than the training clips; None: they are.

    Args:
        given: whether the caller gave speakers.
        examples: labels and speakers.
        usable: (N,) clips that train or validate.
        chosen: (N,) those that validate.
    """
    if not chosen.any():
        return None
    if not given:
        return f"speakers are not given: {_CLIP_BY_CLIP}"
    who = {examples.speaker[row] for row in np.flatnonzero(usable)}
    return f"all clips are of one speaker: {_CLIP_BY_CLIP}" if len(who) == 1 else None


def given_validation(validation: Any, examples: Examples, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) the clips of the caller's mask that are usable.

    Args:
        validation: (N,) bool, or False: none.
        examples: labels and speakers.
        usable: (N,) clips that may train or validate.

    Raises:
        ConfigError: no mask of bools, or a speaker on both sides.
    """
    if validation is False:
        return np.zeros(len(examples), dtype=bool)
    mask = column("validation", validation, len(examples))
    if mask.dtype != np.bool_:
        raise ConfigError(
            f"validation: expected a mask of {len(mask)} bools, or False, found values of {mask.dtype}"
        )
    chosen = np.asarray(mask & usable, dtype=bool)
    speakers = np.array([who or "" for who in examples.speaker])
    if both := sorted(set(speakers[chosen]) & set(speakers[usable & ~chosen]) - {""}):
        raise ConfigError(
            f"validation: expected clips of other speakers than the training clips, found {len(both)} speakers in both, first "
            f"{str(both[0])!r}; leave `speakers` out where that is meant"
        )
    return chosen
