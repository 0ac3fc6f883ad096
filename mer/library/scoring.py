"""Scores of predicted labels, with intervals that resample whole speakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.evaluation.intervals import RESAMPLING, Resampling, Score, bootstrap_interval, resampled_units
from mer.evaluation.metrics import accuracy, confusion, macro_f1, unweighted_recall, waf
from mer.library.arrays import plain_array, same_index
from mer.library.labels import present_labels, read_labels, read_speakers

SCORES: Mapping[str, Score] = MappingProxyType(
    {"accuracy": accuracy, "uar": unweighted_recall, "waf": waf, "macro_f1": macro_f1}
)
"""The scores that are given, by the name of their attribute."""

_TITLES = {"accuracy": "accuracy", "uar": "UAR", "waf": "weighted F1", "macro_f1": "macro F1"}


@dataclass(frozen=True)
class Scores:
    """Scores of N clips, each in [0, 1]; `print` shows them as a table."""

    accuracy: float
    uar: float
    """Unweighted average recall: mean recall over the classes that have clips."""
    waf: float
    """Weighted F1 (WAF): F1 of every class, weighted by its clips."""
    macro_f1: float
    """Mean F1 over the classes that are true or predicted somewhere."""
    clips: int
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Name of a score -> ends of its interval; empty where speakers were not given."""
    confidence: float = 0.95
    """Coverage of the intervals."""
    resampled: str = ""
    """What was resampled, such as `24 speakers`."""

    def as_dict(self) -> dict[str, float]:
        """The scores alone, by name."""
        return {name: float(getattr(self, name)) for name in SCORES}

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        about = f"{100 * self.confidence:g} % interval, {self.resampled} resampled" if self.intervals else ""
        lines = [f"{f'{self.clips} clips':<14}{'score':>6}   {about}".rstrip()]
        for name, value in self.as_dict().items():
            low, high = self.intervals.get(name, (np.nan, np.nan))
            ends = f"   {low:.3f} to {high:.3f}" if name in self.intervals else ""
            lines.append(f"{_TITLES[name]:<14}{value:>6.3f}{ends}")
        return "\n".join(lines)


def score(
    labels: Any,
    predictions: Any,
    speakers: Any = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Scores:
    """Accuracy, UAR, weighted F1 and macro F1 of predicted labels.

    Args:
        labels: (N,) true labels, strings or whole numbers; clips of None, "" or -1 are left out.
        predictions: (N,) predicted labels of the same kind.
        speakers: (N,) speaker per clip: intervals then resample whole speakers (clips of unknown speakers, and all clips of a
            single speaker, one by one). None: no intervals.
        confidence: coverage of the intervals, in (0, 1).
        resamples: number of resamples.
        seed: of the resampling.

    Raises:
        ConfigError: lengths that differ, labels of two kinds, clips without a prediction, options out of range.

    Example:
        >>> print(mer.score(labels, fusion.predict(features), speakers))
    """
    if not (isinstance(confidence, (int, float)) and 0 < confidence < 1):
        raise ConfigError(f"confidence: expected a value in (0, 1), found {confidence!r}")
    for name, value, least in (("resamples", resamples, 1), ("seed", seed, 0)):
        if not (isinstance(value, (int, np.integer)) and value >= least):
            raise ConfigError(f"{name}: expected a whole number of at least {least}, found {value!r}")
    same_index([("labels", labels), ("predictions", predictions), ("speakers", speakers)])
    truth, predicted, classes = _indices(labels, predictions)
    who = read_speakers(speakers, len(truth))
    known = np.flatnonzero(truth >= 0)
    return scores_of(
        truth[known],
        predicted[known],
        None if speakers is None else [who[row] for row in known],
        len(classes),
        confidence,
        Resampling(resamples, seed),
    )


def scores_of(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    speakers: Sequence[str | None] | None,
    classes: int,
    confidence: float = 0.95,
    resampling: Resampling = RESAMPLING,
) -> Scores:
    """Scores of class indices (N,), all known; intervals only where speakers are given."""
    counts = confusion(truth, predicted, classes)
    values: dict[str, Any] = {name: float(measure(counts)) for name, measure in SCORES.items()}
    if speakers is None:
        return Scores(**values, clips=len(truth))
    intervals, groups = {}, 0
    for name, measure in SCORES.items():
        interval = bootstrap_interval(
            truth, predicted, speakers, classes,
            score=measure, confidence=confidence, resampling=resampling,
        )  # fmt: skip
        intervals[name], groups = (interval.low, interval.high), interval.groups
    return Scores(
        **values,
        clips=len(truth),
        intervals=intervals,
        confidence=confidence,
        resampled=f"{groups} {resampled_units(speakers)}",
    )


def _indices(labels: Any, predictions: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Class indices of both, -1 where unlabelled, over all classes that occur in either."""
    found = plain_array("predictions", predictions)
    if found.ndim == 2 and found.shape[1] > 1:
        raise ConfigError(
            f"predictions: expected (N,) labels, found shape {found.shape}; of probabilities take the likeliest class: "
            "classes[probabilities.argmax(axis=1)]"
        )
    true = plain_array("labels", labels)
    if len(true) != len(found):
        raise ConfigError(f"predictions: expected {len(true)}, one per label, found {len(found)}")
    if true.ndim == 2 and true.shape[1] > 1:
        raise ConfigError(f"labels: expected (N,) labels, found soft labels of shape {true.shape}")
    both = read_labels(
        [*true.ravel().tolist(), *found.ravel().tolist()], len(true) + len(found), _occurring(true, found)
    )
    truth, predicted = both.index[: len(true)], both.index[len(true) :]
    if missing := int((predicted[truth >= 0] < 0).sum()):
        raise ConfigError(
            f"predictions: expected one for every labelled clip, found {missing} labelled clips without"
        )
    if not (truth >= 0).any():
        raise ConfigError(f"labels: expected at least one labelled clip, found none among {len(truth)}")
    return truth, predicted, both.classes


def _occurring(*arrays: NDArray[Any]) -> list[Any] | None:
    """Two classes for data in which one alone occurs (all right, all of one class), which is no fault of scores."""
    occurring = present_labels([value for array in arrays for value in array.ravel().tolist()])
    if len(occurring) != 1:
        return None
    only = occurring[0]
    return [only, only + 1 if isinstance(only, int) else f"not {only}"]
