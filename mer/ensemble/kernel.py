"""Kernel ridge classifiers over several streams, as members of an ensemble.

The kernel is Gaussian in a weighted sum of per-stream distances, `exp(-width / 2 * sum_s w_s d_s)`, d_s the mean squared
difference of the standardised features of stream s: a product of one kernel per stream, so that clips are alike only if they
are alike in all of them, however many features a stream has. Targets are one-hot minus the class shares (known: least-squares
support vector machines, Suykens and Vandewalle 1999). One factorisation gives all classes; the distances serve all members.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mer.ensemble.distance import mean_squared_differences
from mer.ensemble.family import StreamFamily, posteriors_of, rows_to_learn
from mer.ensemble.ridge import solve_ridge
from mer.ensemble.varied import PLAIN, Floats, check_streams
from mer.examples import Examples
from mer.posteriors import Posteriors

SHARPNESS = 10.0
"""Scores lie between 0 and 1 or so; times this they are of the size of logits. The temperature is fitted anyway."""


class KernelMember(BaseModel):
    """One kernel ridge classifier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    streams: dict[str, float] = Field(
        min_length=1, description="Stream -> its weight in the squared distance (not negative)."
    )
    width: float = Field(default=1.0, gt=0.0, description="Sharpness of the kernel (1 / squared distance).")
    penalty: float = Field(default=0.05, gt=0.0, description="Added to the kernel's diagonal, which is 1.")
    variants: tuple[str, ...] = Field(
        default=(PLAIN,), min_length=1, description="Variants learnt from and averaged over."
    )


class KernelFamily(StreamFamily[KernelMember]):
    """Kernel ridge classifiers that share the distances between clips; arguments and errors as of `StreamFamily`.

    Meant for some thousand clips: each stream takes 4 bytes for every pair of training clips (variants counted), and time grows
    with the cube of their number (3,500: under a second a member on one processor core).
    """

    def predict(
        self, examples: Examples, target_rows: NDArray[np.int64], candidates: Collection[str]
    ) -> dict[str, Posteriors]:
        """See `Family.predict`."""
        check_streams(self.streams, len(examples))
        train = rows_to_learn(examples, target_rows)
        posteriors: dict[str, Posteriors] = {}
        sets = dict.fromkeys(self.members[name].variants for name in candidates)
        for variants in sets:  # one set at a time: distances of several would fill the memory
            members = {
                name: self.members[name] for name in candidates if self.members[name].variants == variants
            }
            used = dict.fromkeys(stream for member in members.values() for stream in member.streams)
            distances = {
                name: squared_distances(*self.streams[name].standardised(train, target_rows, variants))
                for name in used
            }
            emotion = np.tile(examples.emotion[train], len(variants))
            weight = np.tile(examples.weight[train], len(variants))
            for name, member in members.items():
                exponent = sum(share * distances[stream] for stream, share in member.streams.items())
                scores = _ridge_scores(
                    np.exp(np.float32(-member.width / 2) * exponent),
                    emotion,
                    weight,
                    member.penalty,
                    self.classes,
                )
                posteriors[name] = posteriors_of(examples, target_rows, SHARPNESS * scores, len(variants))
        return {name: posteriors[name] for name in candidates}


def squared_distances(train: Floats, target: Floats) -> Floats:
    """Mean squared difference of every clip (training clips, then target ones) to every training clip.

    Args:
        train: (T, D).
        target: (A, D).

    Returns:
        (T + A, T), not negative.
    """
    return mean_squared_differences(np.concatenate([train, target]), train)


def _ridge_scores(
    kernel: Floats,
    emotion: NDArray[np.int64],
    weight: NDArray[np.float32],
    penalty: float,
    classes: int,
) -> NDArray[np.float32]:
    """(targets, C) scores from the (T + A, T) kernel; a clip of weight w bends the solution w times as much."""
    count = len(emotion)
    target = np.eye(classes, dtype=np.float32)[emotion]
    shares = np.average(target, axis=0, weights=weight).astype(np.float32)
    dual = solve_ridge(kernel[:count], target - shares, weight, penalty, bias=0.0)
    return np.asarray(kernel[count:] @ dual + shares)
