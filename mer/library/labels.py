"""Labels, speakers, weights and valence as a caller has them -> the examples that a fusion learns from."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.examples import Examples
from mer.library.arrays import column, is_missing, number_array, plain_array

UNLABELLED = -1
_SUM_TOLERANCE = 1e-3
"""A soft label's sum may be off 1 by so much; it is then divided by its sum."""


@dataclass(frozen=True)
class Labels:
    """Labels of N clips over C classes."""

    classes: NDArray[Any]
    """(C,) class names: strings, or whole numbers."""
    index: NDArray[np.int64]
    """(N,) class index, of a soft label its likeliest class; -1 = unlabelled."""
    target: NDArray[np.float32] | None = None
    """(N, C) soft labels; NaN where unlabelled."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) the clips that are labelled."""
        return np.asarray(self.index >= 0)


def read_labels(labels: Any, clips: int, classes: Sequence[Any] | None = None) -> Labels:
    """Type the labels.

    Args:
        labels: (N,) strings or whole numbers; None, NaN, blank text and -1 are unlabelled. Or (N, C) soft labels: distributions
            over `classes` (of a DataFrame its columns), or rows of NaN where unlabelled.
        clips: N.
        classes: class names in index order; None: the labels that occur, sorted.

    Raises:
        ConfigError: says what was expected and found.
    """
    array = plain_array("labels", labels)
    if array.ndim == 2 and array.shape[1] > 1:
        if classes is None and hasattr(labels, "columns"):
            classes = list(labels.columns)
        return _soft(array, clips, classes)
    stated = column("labels", labels, clips)
    values = [_plain(value) for value in stated]
    named = None if classes is None else read_classes(classes)
    occurring = present_labels(values)
    if named is None:
        if len(occurring) < 2:
            raise ConfigError(
                f"labels: expected at least 2 classes, found {len(occurring)} ({occurring}) among {clips} clips; "
                "-1, None, NaN and blank text are unlabelled"
            )
        named = occurring
        _warn_of_polarity(stated, values, named)
    position = {name: index for index, name in enumerate(named)}
    if unknown := [value for value in occurring if value not in position]:
        raise ConfigError(f"labels: expected members of classes {named}, found also {unknown[:10]}")
    index = [UNLABELLED if value is None else position[value] for value in values]
    return Labels(np.array(named), np.array(index, dtype=np.int64))


def _warn_of_polarity(stated: NDArray[Any], values: Sequence[Any], named: Sequence[Any]) -> None:
    """-1, 0, 1 may be polarity: then a third of the clips would be left out unsaid."""
    if list(named) == [0, 1] and (
        lost := sum(value is None and not is_missing(raw) for raw, value in zip(stated, values, strict=True))
    ):
        warnings.warn(
            f"labels: -1 stands for no label, and {lost} of {len(values)} values are -1 beside 0 and 1; where it is a class "
            "(polarity), give names or 0, 1, 2; where it is none, None says so without this warning",
            UserWarning,
            stacklevel=4,
        )


def present_labels(values: Sequence[Any]) -> list[Any]:
    """The labels that occur, sorted.

    Raises:
        ConfigError: strings and numbers.
    """
    occurring = {label for value in values if (label := _plain(value)) is not None}
    if len({type(label) for label in occurring}) > 1:
        raise ConfigError(
            "labels: expected strings or whole numbers, found both; -1, None, NaN and blank text are unlabelled"
        )
    return sorted(occurring)


def read_classes(classes: Sequence[Any]) -> list[str] | list[int]:
    """Class names in index order.

    Raises:
        ConfigError: fewer than two, repeats, or names that are neither all strings nor all whole numbers.
    """
    if isinstance(classes, str) or not hasattr(classes, "__iter__"):
        raise ConfigError(f"classes: expected a list of class names, found {classes!r}")
    named = [_plain(value) for value in plain_array("classes", list(classes)).ravel()]
    if (
        len(named) < 2
        or len(set(named)) != len(named)
        or len({type(name) for name in named}) != 1
        or None in named
    ):
        raise ConfigError(
            f"classes: expected at least 2 distinct names, all strings or all whole numbers from 0, found {list(classes)!r}"
        )
    return named


def read_speakers(speakers: Any, clips: int) -> tuple[str | None, ...]:
    """(N,) speaker per clip; None where `speakers` is None, or a value is missing."""
    if speakers is None:
        return (None,) * clips
    return tuple(None if is_missing(value) else str(value) for value in column("speakers", speakers, clips))


def read_examples(labels: Labels, speakers: Any, weights: Any = None, valence: Any = None) -> Examples:
    """Examples of N clips, called by their row number.

    Args:
        labels: of the clips.
        speakers: (N,) or None.
        weights: (N,) weight of every clip in the losses, 0 or more; None: 1.
        valence: (N,) valence, NaN where missing; None: missing throughout.

    Raises:
        ConfigError: lengths that differ, or weights that are negative or not finite.
    """
    clips = len(labels.index)
    weight = np.ones(clips) if weights is None else number_array("weights", column("weights", weights, clips))
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise ConfigError("weights: expected finite numbers of 0 or more, not all 0, found others")
    known = (
        np.full(clips, np.nan)
        if valence is None
        else number_array("valence", column("valence", valence, clips))
    )
    if np.isinf(known).any():
        raise ConfigError("valence: expected finite numbers, or NaN where missing, found infinity")
    return Examples(
        clip_ids=tuple(map(str, range(clips))),
        emotion=labels.index,
        valence=known.astype(np.float32),
        speaker=read_speakers(speakers, clips),
        fold=np.full(clips, -1, dtype=np.int64),
        weight=weight.astype(np.float32),
        target=labels.target,
    )


def _soft(array: NDArray[Any], clips: int, classes: Sequence[Any] | None) -> Labels:
    target = number_array("labels", array).astype(np.float64)
    if len(target) != clips:
        raise ConfigError(f"labels: expected {clips} rows, one per clip, found {len(target)}")
    if classes is None:
        raise ConfigError(
            f"labels: found soft labels of shape {array.shape}, expected the names of their columns too: Fusion(classes=[...]), "
            "or a DataFrame"
        )
    named = read_classes(classes)
    if len(named) != target.shape[1]:
        raise ConfigError(f"labels: expected {len(named)} columns, one per class, found {target.shape[1]}")
    unlabelled = np.asarray(np.isnan(target).all(axis=1))
    sums = target.sum(axis=1)
    with np.errstate(invalid="ignore"):
        sound = (target >= 0).all(axis=1) & (np.abs(sums - 1) < _SUM_TOLERANCE)
    if wrong := np.flatnonzero(~(unlabelled | sound)).tolist():
        raise ConfigError(
            f"labels: expected soft labels of 0 or more that sum to 1, or rows of NaN, found {len(wrong)} others, first clip "
            f"{wrong[0]}: {target[wrong[0]].tolist()}"
        )
    index = np.where(unlabelled, UNLABELLED, np.where(unlabelled[:, None], 0, target).argmax(axis=1))
    return Labels(np.array(named), index.astype(np.int64), (target / sums[:, None]).astype(np.float32))


def _plain(value: Any) -> Any:
    """A label as `str` or `int`; None where there is none."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, np.bool_, int, np.integer)) or (
        isinstance(value, (float, np.floating)) and float(value).is_integer()
    ):
        number = int(value)
        return None if number == UNLABELLED else number
    raise ConfigError(
        f"labels: expected strings or whole numbers, found {type(value).__name__} {str(value)[:60]!r}"
    )
