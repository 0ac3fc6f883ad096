"""What is compared of a set of clips: single values, vectors by stream, and what the model says; as arrays and as files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.errors import UNREADABLE, ConfigError, WeightsError
from mer.tensor_files import write_arrays
from mer.whole_files import write_whole

RECORD, ARRAYS = "measured.json", "measured.safetensors"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredClips:
    """N clips, of the training snapshot or new ones.

    Raises:
        ConfigError: arrays of other lengths.
    """

    names: tuple[str, ...]
    speakers: tuple[str | None, ...]
    """(N,)"""
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Stream -> (N, D) frozen features, of which no view has learnt anything; NaN where a clip lacks the stream."""
    quality: Mapping[str, Floats] = field(default_factory=dict)
    """Column of quality -> (N,) values; NaN: not measured."""
    probabilities: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """(N, C) calibrated, by a model that learnt nothing of the clip; NaN: not known."""

    def __post_init__(self) -> None:
        lengths = {
            len(self.speakers),
            len(self.probabilities),
            *map(len, self.vectors.values()),
            *map(len, self.quality.values()),
        }
        if lengths != {len(self.names)}:
            raise ConfigError(f"drift: expected values of {len(self.names)} clips, found {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.names)

    def taken(self, rows: NDArray[np.int64]) -> MeasuredClips:
        """The same of these rows."""
        return MeasuredClips(
            tuple(self.names[row] for row in rows),
            tuple(self.speakers[row] for row in rows),
            {name: values[rows] for name, values in self.vectors.items()},
            {name: values[rows] for name, values in self.quality.items()},
            self.probabilities[rows],
        )

    def save(self, folder: Path) -> None:
        """Write into `folder`, the record last; equal ones give equal bytes."""
        arrays: dict[str, NDArray[np.float32] | Floats] = {
            f"vectors.{place}": self.vectors[name] for place, name in enumerate(sorted(self.vectors))
        }
        arrays |= {f"quality.{place}": self.quality[name] for place, name in enumerate(sorted(self.quality))}
        arrays["probabilities"] = self.probabilities
        write_arrays(folder / ARRAYS, {name: np.ascontiguousarray(values) for name, values in arrays.items()})
        record = {
            "names": list(self.names),
            "speakers": list(self.speakers),
            "vectors": sorted(self.vectors),
            "quality": sorted(self.quality),
        }
        write_whole(folder / RECORD, json.dumps(record, indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> MeasuredClips:
        """Read back what `save` wrote, bit for bit.

        Raises:
            WeightsError: files absent or not as they were written.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            arrays = load_file(folder / ARRAYS)
            return cls(
                tuple(record["names"]),
                tuple(record["speakers"]),
                {name: arrays[f"vectors.{place}"] for place, name in enumerate(record["vectors"])},
                {name: arrays[f"quality.{place}"] for place, name in enumerate(record["quality"])},
                arrays["probabilities"],
            )
        except (*UNREADABLE, SafetensorError, ConfigError) as error:
            raise WeightsError(
                f"{folder}: expected measured clips ({RECORD}, {ARRAYS}), found files that cannot be read: {error}"
            ) from error


def spread_over_speakers(speakers: Sequence[str | None], most: int, seed: int = 0) -> NDArray[np.int64]:
    """Rows of at most `most` clips: all speakers equally, drawn by seed; a clip of unknown speaker counts as one by itself.

    Args:
        speakers: (N,)
        most: clips.
        seed: of the draw.
    """
    count = len(speakers)
    if count <= most:
        return np.arange(count, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(count)
    taken: dict[str, int] = {}
    turns = np.zeros(count, dtype=np.int64)
    for row in order.tolist():
        who = speakers[row]
        if who is not None:
            turns[row] = taken.get(who, 0)
            taken[who] = int(turns[row]) + 1
    # the first clip of every speaker, then the second of every speaker, and so on
    ranked = order[np.argsort(turns[order], kind="stable")]
    return np.sort(ranked[:most])
