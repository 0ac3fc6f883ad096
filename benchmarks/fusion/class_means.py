"""Valence decoded by the mean valence of every class: what joint decoding is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mer.posteriors import Posteriors


def decoded_by_class_means(posteriors: Posteriors, class_means: NDArray[np.floating]) -> Posteriors:
    """The same posteriors with valence sum_c p_c m_c; `class_means`: (C,)."""
    from mer.posteriors import Posteriors

    valence = posteriors.probabilities() @ np.asarray(class_means, np.float64)
    return Posteriors(posteriors.clip_ids, posteriors.logits, np.asarray(valence, np.float32))


def decoded_by_prediction(posteriors: Posteriors, class_means: NDArray[np.floating]) -> Posteriors:
    """The same posteriors with the mean valence of the most probable class."""
    from mer.posteriors import Posteriors

    return Posteriors(
        posteriors.clip_ids, posteriors.logits, class_means[posteriors.predicted].astype("float32")
    )
