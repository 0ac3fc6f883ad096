"""A small system from outside of the package: the nearest class mean of vectors, which can do nothing beyond the minimum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import load_file, save_file

from mer.posteriors import Posteriors
from mer.stream_tables import Level, LevelTables
from mer.systems.abilities import Abilities
from mer.systems.fitted import FittedSystem, PerStream, SystemAnswers
from mer.systems.kinds import FitData, FitRun, SystemKind

NOTHING = Abilities(warm_start=False, soft_targets=False, missing_streams=False, export=False)


class MeansOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    sharpness: float = 1.0


class MeansSystem(FittedSystem):
    kind: ClassVar[str] = "means"
    levels: tuple[Level, ...] = ("utterance",)
    abilities = NOTHING

    def __init__(self, classes: tuple[str, ...], means: dict[str, np.ndarray], sharpness: float) -> None:
        self.names, self.means, self.sharpness = classes, means, sharpness

    @property
    def classes(self) -> tuple[str, ...]:
        return self.names

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(self.means)

    def _answer(self, tables: LevelTables) -> SystemAnswers:
        read = tables["utterance"]
        clip_ids = next(iter(read.values())).clip_ids
        logits = np.zeros((len(clip_ids), len(self.classes)), np.float32)
        for name, means in self.means.items():
            values = read[name].values
            logits -= self.sharpness * np.square(values[:, None] - means).mean(axis=2).astype(np.float32)
        weights = np.full((len(clip_ids), len(self.means)), 1 / len(self.means))
        posteriors = Posteriors(clip_ids, logits, np.full(len(clip_ids), np.nan, np.float32))
        return SystemAnswers(posteriors, PerStream(self.streams, weights))

    def _write(self, folder: Path) -> None:
        save_file(self.means, folder / "means.safetensors")
        record = {"classes": self.classes, "streams": self.streams, "sharpness": self.sharpness}
        (folder / "means.json").write_text(json.dumps(record), encoding="utf-8")


class MeansKind(SystemKind[MeansOptions]):
    name: ClassVar[str] = "means"
    options_type = MeansOptions

    def levels(self, options: MeansOptions) -> tuple[Level, ...]:
        return ("utterance",)

    def abilities(self, options: MeansOptions) -> Abilities:
        return NOTHING

    def fit(self, data: FitData, options: MeansOptions, run: FitRun) -> MeansSystem:
        labels = data.examples.emotion
        means = {
            name: np.stack(
                [table.values[data.train & (labels == c)].mean(axis=0) for c in range(len(data.classes))]
            )
            for name, table in data.tables["utterance"].items()
        }
        return MeansSystem(data.classes, means, options.sharpness)

    def load(self, folder: Path) -> MeansSystem:
        record = json.loads((folder / "means.json").read_text(encoding="utf-8"))
        loaded = load_file(folder / "means.safetensors")
        means = {name: loaded[name] for name in record["streams"]}
        return MeansSystem(tuple(record["classes"]), means, record["sharpness"])
