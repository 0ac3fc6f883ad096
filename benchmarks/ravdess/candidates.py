"""The candidates of `benchmarks.ravdess.ensemble`: what its search may choose from. Shaped on inner folds only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.ravdess.streams import FACE, SOUND, layer
from mer.ensemble.family import Family
from mer.ensemble.kernel import KernelFamily, KernelMember
from mer.ensemble.linear import LinearFamily, LinearMember
from mer.ensemble.varied import PLAIN, VariedStream


def families(streams: Mapping[str, VariedStream], classes: int, *, quick: bool) -> list[Family]:
    """Kernel ridge classifiers learning from varied clips, and plain kernel and logistic ones, joint and unimodal.

    Args:
        streams: as `benchmarks.ravdess.streams` makes them.
        classes: number of classes.
        quick: fewer of them.
    """
    varied = tuple(streams[layer(2)].values)
    kernels = {
        "varied 1-4": _kernel((1, 2, 3, 4), varied),
        "varied 1-4 wide": _kernel((1, 2, 3, 4), varied, width=0.25),
        "varied 1-4 more face": _kernel((1, 2, 3, 4), varied, face=0.2),
        "varied 0-5": _kernel((0, 1, 2, 3, 4, 5), varied),
        "varied 2-3": _kernel((2, 3), varied),
        "varied speech only": _kernel((1, 2, 3, 4), varied, face=0.0),
        "plain 1-4": _kernel((1, 2, 3, 4), (PLAIN,), width=1.0, penalty=0.1),
        "face only": KernelMember(streams={FACE: 1.0}, width=0.3, penalty=0.3),
    }
    linear = {
        "logistic 1-4": _linear((1, 2, 3, 4), 0.01),
        "logistic 2": _linear((2,), 0.01),
    }
    if quick:
        kernels = {name: kernels[name] for name in ("varied 1-4", "varied 2-3", "plain 1-4", "face only")}
        linear = {name: linear[name] for name in ("logistic 2",)}
    return [KernelFamily(streams, kernels, classes), LinearFamily(streams, linear, classes)]


def speech_families(streams: Mapping[str, VariedStream], classes: int, *, quick: bool) -> list[Family]:
    """Of `families`, what reads speech alone."""
    varied = tuple(streams[layer(2)].values)
    kernels = {
        "speech 1-4": _kernel((1, 2, 3, 4), varied, face=0.0),
        "speech 1-4 wide": _kernel((1, 2, 3, 4), varied, face=0.0, width=0.25),
        "speech 2-3": _kernel((2, 3), varied, face=0.0),
        "speech 0-5": _kernel((0, 1, 2, 3, 4, 5), varied, face=0.0),
    }
    if quick:
        kernels = {name: kernels[name] for name in ("speech 1-4", "speech 2-3")}
    return [KernelFamily(streams, kernels, classes)]


def units(streams: Mapping[str, VariedStream], classes: int) -> Family:
    """Action units alone, by the width and penalty to choose from."""
    members = {
        f"width {width:g}, penalty {penalty:g}": KernelMember(
            streams={FACE: 1.0}, width=width, penalty=penalty
        )
        for width in (0.1, 0.3, 1.0)
        for penalty in (0.1, 0.3)
    }
    return KernelFamily(streams, members, classes)


def reference(streams: Mapping[str, VariedStream], classes: int) -> Family:
    """What the ensemble is held against: logistic regressions on layer 2 and action units, by their `C`."""
    members = {
        f"C = {c:g}": LinearMember(streams={layer(2): 1.0, FACE: 1.0}, inverse_penalty=c)
        for c in (0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
    }
    return LinearFamily(streams, members, classes)


def _kernel(
    layers: Sequence[int],
    variants: tuple[str, ...],
    *,
    face: float = 0.1,
    width: float = 0.5,
    penalty: float = 0.05,
) -> KernelMember:
    """Layers alike and 1 in sum, the face, and a little of loudness and length."""
    streams = {layer(index): 1 / len(layers) for index in layers}
    streams |= {FACE: face} if face else {}
    return KernelMember(streams=streams | {SOUND: 0.05}, width=width, penalty=penalty, variants=variants)


def _linear(layers: Sequence[int], inverse_penalty: float) -> LinearMember:
    """The layers' features scaled so that together they weigh as much as one layer's."""
    streams = {layer(index): len(layers) ** -0.5 for index in layers}
    return LinearMember(streams=streams | {FACE: 1.0, SOUND: 1.0}, inverse_penalty=inverse_penalty)
