"""How a fitted fusion weighs the frames of a clip: read off its attention while it answers, where it has some over frames.

Of a stream that several layers attend to the last one counts, as that is what is fused: of the audio-guided transformer the
guided layer, and of the guide its own. Weights of heads and of queries are averaged. Vectors of a clip are no frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.fusion.fit import answer_fusion
from mer.fusion.model import FusionModel
from mer.fusion.models.gathering import Gathering
from mer.fusion.models.masked_attention import MaskedAttention
from mer.fusion.system import NeuralSystem
from mer.fusion.windows import read_tables
from mer.stream_tables import LevelTables, RaggedTable
from mer.systems.fitted import FittedSystem

FrameWeights = Mapping[str, NDArray[np.float64]]
"""Stream -> (T,) share of the attention that each of its T frames has, in sum 1."""

_OF_STREAMS = "across"
"""Gatherings of this name weigh streams or modalities, not frames."""


def frame_attention(system: FittedSystem, tables: LevelTables) -> FrameWeights:
    """The weights of one clip's frames; empty: the system has no attention over frames, or the clip no frames.

    Args:
        system: any system; only neural fusions of level `frames` have some.
        tables: of one clip.
    """
    if not isinstance(system, NeuralSystem) or system.fitted.config.level != "frames":
        return {}
    features = tables["frames"]
    read = read_tables(features, system.fitted.config)
    frames = {
        name: int(table.offsets[1]) if isinstance(table, RaggedTable) and table.present[0] else 1
        for name, table in read.items()
    }
    model = system.fitted.model()
    frames = {name: frames.get(name, 1) for name in model.streams}
    found: dict[str, NDArray[np.float64]] = {}

    def noted(path: str, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        module = modules[path]
        weights = module.weights(*inputs[:3]) if isinstance(module, MaskedAttention) else output[1]
        found.update(_by_stream(model, path, _averaged(weights), frames))

    modules = dict(_attending(model))
    hooks = [module.register_forward_hook(partial(noted, path)) for path, module in modules.items()]
    try:
        answer_fusion(system.fitted, features, model)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: found[name] for name in frames if name in found and frames[name] > 1}


def _attending(model: FusionModel) -> Iterator[tuple[str, Gathering | MaskedAttention]]:
    for path, module in model.named_modules():
        if isinstance(module, MaskedAttention) or (
            isinstance(module, Gathering) and path.rpartition(".")[2] != _OF_STREAMS
        ):
            yield path, module


def _averaged(weights: Tensor) -> NDArray[np.float64]:
    """(T,) of the first clip, from (B, T), or (B, heads, queries, T)."""
    one = weights[0].detach().double()
    return np.asarray(one.reshape(-1, one.shape[-1]).mean(dim=0).numpy())


def _by_stream(
    model: FusionModel, path: str, weights: NDArray[np.float64], frames: Mapping[str, int]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """A layer's weights by the streams that it reads: the stream or modality it is called by, else all of them."""
    called = path.split(".")
    modalities = model.shape.modalities
    streams = next(
        (
            (name,) if name in frames else modalities[name]
            for name in reversed(called)
            if name in {*frames, *modalities}
        ),
        tuple(model.streams),
    )
    counts = [frames[name] for name in streams]
    if len(weights) == sum(counts):
        parts = np.split(weights, np.cumsum(counts)[:-1])
    elif len(weights) == max(counts):  # all streams side by side on the frames of the longest
        parts = [weights if count == len(weights) else weights[:0] for count in counts]
    else:
        return
    yield from (
        (name, part / part.sum()) for name, part in zip(streams, parts, strict=True) if part.sum() > 0
    )
