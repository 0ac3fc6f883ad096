"""Clips as arrays: what is known about each, in one order that all feature tables follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

_SUM_TOLERANCE = 1e-4
"""A target's sum may be off 1 by so much: posteriors in single precision are, by less."""


@dataclass(frozen=True)
class Examples:
    """Labels, speakers and folds of N clips.

    Raises:
        ConfigError: lists instead of arrays, different lengths, a clip id that occurs twice, or a soft target that is no
            distribution.
    """

    clip_ids: tuple[str, ...]
    emotion: NDArray[np.int64]
    """(N,) class index; -1 = unlabelled or hidden."""
    valence: NDArray[np.float32]
    """(N,) valence in [-5, 5]; NaN = missing."""
    speaker: tuple[str | None, ...]
    """Speaker per clip; None = unknown."""
    fold: NDArray[np.int64]
    """(N,) outer fold; -1 = not in the cross-validation."""
    weight: NDArray[np.float32]
    """(N,) weight in the losses: 1 for gold labels, less for pseudo-labels."""
    target: NDArray[np.float32] | None = None
    """(N, C) soft targets: a distribution over classes that a fusion learns in place of `emotion`; rows of NaN: the hard label.
    A row counts only where `emotion` is known, so whoever hides a label hides its target. Everything else (validation scores,
    folds, class means, members that are no fusion) reads `emotion`, which should be the likeliest class."""
    content: tuple[str, ...] = ()
    """Hash of the content per clip: clips of equal content are kept together as clips of one speaker are. Empty (of a clip, or
    for all): not known, and equal to no other."""

    def __post_init__(self) -> None:
        count = len(self.clip_ids)
        for name in ("emotion", "valence", "fold", "weight"):
            if not isinstance(values := getattr(self, name), np.ndarray):
                raise ConfigError(f"examples: expected {name} as an array, found {type(values).__name__}")
        lengths = {
            name: len(getattr(self, name)) for name in ("emotion", "valence", "speaker", "fold", "weight")
        }
        if wrong := {name: length for name, length in lengths.items() if length != count}:
            raise ConfigError(f"examples: expected {count} values in every column, found {wrong}")
        if self.content and len(self.content) != count:
            raise ConfigError(f"examples: expected {count} contents, or none, found {len(self.content)}")
        if len(set(self.clip_ids)) != count:
            raise ConfigError(
                f"examples: expected every clip once, found {count - len(set(self.clip_ids))} repeats"
            )
        if self.target is not None:
            self._check_target(self.target)

    def __len__(self) -> int:
        return len(self.clip_ids)

    def subset(self, rows: NDArray[np.int64]) -> Examples:
        """The examples at these positions, in this order."""
        return Examples(
            clip_ids=tuple(self.clip_ids[i] for i in rows),
            emotion=self.emotion[rows],
            valence=self.valence[rows],
            speaker=tuple(self.speaker[i] for i in rows),
            fold=self.fold[rows],
            weight=self.weight[rows],
            target=None if self.target is None else self.target[rows],
            content=tuple(self.content[i] for i in rows) if self.content else (),
        )

    def content_of(self, row: int) -> str:
        """Content of a clip; empty where it is not known."""
        return self.content[row] if self.content else ""

    def distributions(self, classes: int) -> NDArray[np.float32] | None:
        """(N, C) targets of the labelled clips, one-hot where no soft one is given, zeros where unlabelled; None: all are hard.

        Raises:
            ConfigError: targets over another number of classes, or labels beyond it.
        """
        if self.target is None:
            return None
        if self.target.shape[1] != classes or int(self.emotion.max(initial=-1)) >= classes:
            raise ConfigError(
                f"examples: expected targets and labels of {classes} classes, found targets of {self.target.shape[1]} and "
                f"labels up to {int(self.emotion.max(initial=-1))}"
            )
        known = self.emotion >= 0
        given = known & ~np.isnan(self.target).any(axis=1)
        if not given.any():
            return None
        hard = np.eye(classes, dtype=np.float32)[np.maximum(self.emotion, 0)] * known[:, None]
        made: NDArray[np.float32] = np.where(given[:, None], self.target, hard).astype(np.float32)
        return made

    def _check_target(self, target: NDArray[np.float32]) -> None:
        if target.ndim != 2 or len(target) != len(self):
            raise ConfigError(
                f"examples: expected targets of shape ({len(self)}, classes), found {target.shape}"
            )
        hard = np.isnan(target).all(axis=1)
        with np.errstate(invalid="ignore"):
            sound = (target >= 0).all(axis=1) & (np.abs(target.sum(axis=1) - 1) < _SUM_TOLERANCE)
        if wrong := np.flatnonzero(~(hard | sound)).tolist():
            raise ConfigError(
                f"examples: expected targets that are distributions (0 or more, sum 1) or NaN throughout, found {len(wrong)} "
                f"others, first {self.clip_ids[wrong[0]]}: {target[wrong[0]].tolist()}"
            )
