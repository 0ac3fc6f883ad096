"""Posteriors of features that a caller extracted, by a system that was trained on such."""

from __future__ import annotations

from typing import Any

from mer.errors import ConfigError
from mer.library.streams import averaged_frames, stream_tables
from mer.posteriors import Posteriors
from mer.stream_tables import LevelTables
from mer.systems.fitted import FittedSystem


def given_posteriors(system: FittedSystem, features: Any) -> Posteriors:
    """The system's posteriors for N clips, before calibration.

    Args:
        system: the served system.
        features: stream name -> (N, D) array, or list of arrays (T_i, D) where it was trained on frames; as for
            `mer.Fusion.fit`. A stream that is not given is missing.

    Raises:
        ConfigError: streams or widths other than the system was trained on.
    """
    frames = stream_tables(features)
    if unknown := sorted(set(frames) - set(system.streams)):
        raise ConfigError(
            f"features: expected streams {', '.join(system.streams)}, found also {', '.join(unknown)}"
        )
    vectors = {name: averaged_frames(table) for name, table in frames.items()}
    tables: LevelTables = {"utterance": vectors, "frames": frames}
    return system.posteriors(tables)
