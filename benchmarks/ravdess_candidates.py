"""The candidates of `benchmarks.ravdess_ensemble`: what its search may choose from. Shaped on inner folds only."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.ravdess_streams import FACE, SOUND, layer
from mer.ensemble.family import Family
from mer.ensemble.kernel import KernelFamily, KernelMember
from mer.ensemble.linear import LinearFamily, LinearMember
from mer.ensemble.varied import PLAIN, VariedStream


def families(streams: Mapping[str, VariedStream], classes: int, *, quick: bool) -> list[Family]:
    """Kernel ridge and logistic regressions: together and each stream by itself, on plain and on varied clips."""
    variants = tuple(streams[layer(2)].values)
    kernels = {
        **_kernels("varied", variants, quick=quick),
        "kernel face": KernelMember(streams={FACE: 1.0}, width=0.3, penalty=0.3),
        "kernel plain layers 1-4": _kernel((1, 2, 3, 4), 0.1, 0.1, 1.0, (PLAIN,), penalty=0.1),
    }
    linear = {
        "logistic plain layers 1-4": _linear((1, 2, 3, 4), 0.01, (PLAIN,)),
        "logistic varied layers 1-4": _linear((1, 2, 3, 4), 0.01, variants),
    }
    return [KernelFamily(streams, kernels, classes), LinearFamily(streams, linear, classes)]


def reference(streams: Mapping[str, VariedStream], classes: int) -> Family:
    """What the ensemble is held against: logistic regression on layer 2 and action units, scikit-learn's defaults."""
    member = LinearMember(streams={layer(2): 1.0, FACE: 1.0}, inverse_penalty=1.0)
    return LinearFamily(streams, {"logistic": member}, classes)
