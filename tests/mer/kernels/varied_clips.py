"""Clips with streams of several hidden states and variants, of which one state and one stream tell the class."""

from __future__ import annotations

from typing import Any

import numpy as np

from mer.examples import Examples
from mer.stream_tables import FeatureTable, StreamTable
from mer.systems.kinds import FitData

CLASSES = ("angry", "happy", "sad")
CLIPS, SPEAKERS, VARIANTS, STATES = 120, 12, 3, 5
TELLING = 2
"""The hidden state of stream `acoustic` that tells the class."""


def made(**columns: Any) -> FitData:
    """The clips; speakers 0 to 8 are learnt from. Columns of the examples may be given."""
    rng = np.random.default_rng(5)
    emotion = np.arange(CLIPS) % 3
    ids = tuple(f"c{i}" for i in range(CLIPS))
    speaker = np.arange(CLIPS) // (CLIPS // SPEAKERS)
    acoustic = rng.normal(0, 1, (CLIPS, VARIANTS, STATES, 8)).astype(np.float32)
    acoustic[:, :, TELLING, :3] += 2.0 * np.eye(3, dtype=np.float32)[emotion][:, None]
    visual = rng.normal(0, 1, (CLIPS, 1, 1, 4)).astype(np.float32)
    visual[:, 0, 0, :3] += 1.0 * np.eye(3)[emotion]
    noise = rng.normal(0, 1, (CLIPS, 30)).astype(np.float32)
    on = np.ones(CLIPS, dtype=bool)
    tables: dict[str, StreamTable] = {
        name: FeatureTable(ids, values, on)
        for name, values in (("acoustic", acoustic), ("visual", visual), ("noise", noise))
    }
    known: dict[str, Any] = {
        "clip_ids": ids,
        "emotion": emotion,
        "valence": (2.0 * emotion - 2 + rng.normal(0, 0.3, CLIPS)).astype(np.float32),
        "speaker": tuple(f"s{one}" for one in speaker),
        "fold": np.zeros(CLIPS, dtype=np.int64),
        "weight": np.ones(CLIPS, dtype=np.float32),
    }
    nobody = np.zeros(CLIPS, dtype=bool)
    return FitData({"states": tables}, Examples(**known | columns), speaker < 9, nobody, CLASSES)
