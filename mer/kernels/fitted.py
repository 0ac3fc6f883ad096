"""What a fit of kernel and linear machines leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.ensemble import Ensemble
from mer.kernels.machines import Machine
from mer.kernels.states import Scaling


@dataclass(frozen=True)
class LearntStreams:
    """Streams of the T clips that were learnt from, as far as machines read them."""

    scaling: Mapping[str, Scaling]
    """Stream -> scaling of its (S, D) features."""
    features: Mapping[str, NDArray[np.float16]]
    """Stream -> (W, T, S', D) standardised, of the hidden states that kernel machines read; none of streams that none reads."""
    first: Mapping[str, int]
    """Stream -> the first of these hidden states."""


@dataclass(frozen=True)
class FittedMachines:
    """All that a fit leaves."""

    classes: tuple[str, ...]
    known: NDArray[np.bool_]
    """(C,) classes that some clip had; no other is ever answered."""
    streams: LearntStreams
    machines: Mapping[str, Machine]
    rule: Ensemble
    """Temperatures and weights of the machines."""
    figures: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()

    @property
    def predicts_valence(self) -> bool:
        """Whether any machine learnt valence."""
        return any(np.isfinite(machine.valence_mean) for machine in self.machines.values())
