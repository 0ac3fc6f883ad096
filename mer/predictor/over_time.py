"""Where in time an answer comes from: the attention of fusions that weigh frames, and for every system what the answer loses
without a stretch of the sound, or without the pictures of that time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip, NoisyMix
from mer.fusion.frame_attention import FrameWeights, frame_attention
from mer.predictor.loaded import LoadedParts
from mer.predictor.reading import BatchReading
from mer.stream_tables import FeatureTable, LevelTables, RaggedTable, StreamTable
from mer.systems.fitted import FittedSystem

if TYPE_CHECKING:
    from mer.media.audio import Waveform
    from mer.quality.corruption import ClipNoise

Part = tuple[float, float]
"""Begin and end as shares of a clip."""
_IN_TIME = ("acoustic", "visual")


@dataclass(frozen=True)
class OverTime:
    """What is known of one clip."""

    parts: tuple[Part, ...]
    lost: Mapping[str, NDArray[np.float64]]
    """Modality -> (K,) probability that the answer loses without what the modality has in each of the parts, negative where that
    speaks against it. Modalities that are no matter of time, that are absent, or that come out of feature files are left out."""
    attention: FrameWeights
    """Stream -> (T,) weights of frames, in sum 1; empty where the system has no attention over frames."""


@dataclass(frozen=True)
class _WithoutPart:
    """Cuts a part out of the sound, and puts the nearest other picture in place of each picture in it."""

    begin: float
    end: float

    def corrupt_waveform(self, waveform: Waveform, talkers: Sequence[Waveform]) -> Waveform:
        """See `ClipNoise.corrupt_waveform`."""
        del talkers
        first, last = round(self.begin * waveform.size), round(self.end * waveform.size)
        return np.concatenate([waveform[:first], waveform[last:]])

    def corrupt_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `ClipNoise.corrupt_frames`."""
        times = (np.arange(len(frames)) + 0.5) / len(frames)
        others = np.flatnonzero((times < self.begin) | (times >= self.end))
        if not others.size:
            return frames
        nearest = others[np.abs(others[None] - np.arange(len(frames))[:, None]).argmin(axis=1)]
        return np.asarray(frames[nearest])


def over_time(
    parts: LoadedParts, system: FittedSystem, tables: LevelTables, clip: Clip, stretches: Sequence[Part]
) -> OverTime:
    """Ask the system about the clip without each stretch, which costs a reading of its sound and of its pictures for each.

    Args:
        parts: what reads clips.
        system: what answers.
        tables: of this clip, as it is asked.
        clip: whose file is read once more.
        stretches: K of them.
    """
    attention = frame_attention(system, tables)
    if not system.abilities.missing_streams or not stretches:
        return OverTime(tuple(stretches), {}, attention)
    together = system.posteriors(tables).probabilities(parts.package.temperature)[0]
    best = int(together.argmax())
    lacking = [_without(clip, part) for part in stretches]
    lost = {}
    for modality in _IN_TIME:
        changed = _changed(parts, system, tables, lacking, modality)
        if changed is not None:
            said = system.posteriors(changed).probabilities(parts.package.temperature)
            lost[modality] = together[best] - said[:, best]
    return OverTime(tuple(stretches), lost, attention)


def _without(clip: Clip, part: Part) -> Clip:
    without = cast("ClipNoise", _WithoutPart(*part))  # what is laid over a clip has these two methods
    content = f"{clip.content} without {part[0]:.4f}-{part[1]:.4f}"
    return replace(clip, name=content, content=content, noise=NoisyMix(without, ()))


def _changed(
    parts: LoadedParts, system: FittedSystem, tables: LevelTables, clips: Sequence[Clip], modality: str
) -> LevelTables | None:
    """Tables of the clips, which differ in one modality alone; None: nothing of it can be left out."""
    recipe = parts.package.recipe
    names = [
        name
        for name in recipe.reads
        if recipe.streams[name].modality == modality and not recipe.streams[name].features.precomputed
    ]
    if not names:
        return None
    reading, changed, anything = BatchReading(parts, clips), {}, False
    for level in system.levels:
        read = reading.streams(level, names)
        ids = next(iter(read.values())).clip_ids
        known = {name for name, table in tables[level].items() if table.present[0]}
        anything = anything or bool(known & set(read))
        changed[level] = {
            name: read[name] if name in read and name in known else _repeated(table, ids)
            for name, table in tables[level].items()
        }
    return changed if anything else None


def _repeated(table: StreamTable, clip_ids: tuple[str, ...]) -> StreamTable:
    """One clip's row for each of these clips."""
    count = len(clip_ids)
    present = np.repeat(table.present[:1], count)
    if isinstance(table, FeatureTable):
        return FeatureTable(clip_ids, np.repeat(table.values[:1], count, axis=0), present)
    frames = int(table.offsets[1])
    values = np.concatenate([table.values[:frames]] * count)
    return RaggedTable(clip_ids, values, np.arange(count + 1) * frames, present)
