"""The training set of a served system: where it lies in each table, its class shares and its mean valence; as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.domain.gaussian import Gaussian
from mer.errors import UNREADABLE, WeightsError
from mer.stream_tables import FeatureTable, Level, StreamTable
from mer.tensor_files import write_arrays
from mer.whole_files import write_whole

RECORD, ARRAYS = "domain.json", "domain.safetensors"
_ARRAYS = ("mean", "scale", "components", "variances")


@dataclass(frozen=True)
class TableDomain:
    """Where the training clips of one table lie."""

    gaussian: Gaussian
    threshold: float
    """Distance beyond which a clip is out of domain: few held-out clips of the corpus are."""


@dataclass(frozen=True)
class TrainingDomain:
    """What an answer is measured by."""

    level: Level
    """Of the tables."""
    tables: Mapping[str, TableDomain] = field(default_factory=dict)
    """Table -> where it lies; a table of too few clips is not among them."""
    class_shares: tuple[float, ...] = ()
    """Of the labelled training clips, in class order; sum 1. Empty: not known."""
    valence: float | None = None
    """Mean of the training clips; None: none is known."""

    def outside(self, tables: Mapping[str, StreamTable]) -> NDArray[np.bool_]:
        """(N,) clips that lie beyond the threshold in at least one table that they are present in.

        Args:
            tables: of `level`; one that is not known here, or of another width, says nothing.
        """
        count = len(next(iter(tables.values())).clip_ids)
        beyond = np.zeros(count, dtype=bool)
        for name, table in tables.items():
            known = self.tables.get(name)
            if known is None:
                continue
            vectors = clip_vectors(table)
            if vectors.shape[1] == known.gaussian.mean.size:
                beyond |= table.present & (known.gaussian.distance(vectors) > known.threshold)
        return beyond

    def save(self, folder: Path) -> None:
        """Write into `folder`, the record last; equal domains give equal bytes."""
        names = sorted(self.tables)
        arrays = {
            f"{number}.{part}": getattr(self.tables[name].gaussian, part)
            for number, name in enumerate(names)
            for part in _ARRAYS
        }
        write_arrays(folder / ARRAYS, arrays)
        record = {
            "level": self.level,
            "tables": [
                {
                    "name": name,
                    "threshold": self.tables[name].threshold,
                    "residual": self.tables[name].gaussian.residual,
                }
                for name in names
            ],
            "class_shares": list(self.class_shares),
            "valence": self.valence,
        }
        write_whole(folder / RECORD, json.dumps(record, indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> TrainingDomain:
        """Read back what `save` wrote, bit for bit.

        Raises:
            WeightsError: files absent or not as they were written.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            arrays = load_file(folder / ARRAYS)
            tables = {
                str(one["name"]): TableDomain(
                    Gaussian(
                        **{part: arrays[f"{number}.{part}"] for part in _ARRAYS},
                        residual=float(one["residual"]),
                    ),
                    float(one["threshold"]),
                )
                for number, one in enumerate(record["tables"])
            }
            return cls(record["level"], tables, tuple(record["class_shares"]), record["valence"])
        except (*UNREADABLE, SafetensorError) as error:
            raise WeightsError(
                f"{folder}: expected the domain of a training set ({RECORD}, {ARRAYS}), found files that cannot be read: {error}"
            ) from error


def clip_vectors(table: StreamTable) -> NDArray[np.float64]:
    """(N, D) one vector a clip: as the table has it, the mean over its frames, or of variants and hidden states the middle state
    of the clip as it is; zeros where absent.
    """
    if isinstance(table, FeatureTable):
        if table.values.ndim == 4:
            return table.values[:, 0, table.values.shape[2] // 2].astype(np.float64)
        return table.values.reshape(len(table.clip_ids), -1).astype(np.float64)
    frames = table.values.reshape(len(table.values), -1).astype(np.float64)
    if not table.clip_ids:
        return frames
    return np.asarray(np.add.reduceat(frames, table.offsets[:-1], axis=0) / np.diff(table.offsets)[:, None])
