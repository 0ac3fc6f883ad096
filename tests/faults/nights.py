"""Nights of an installation that is used for long: clips come and go, a run of stages each night, a version, a clean-up.

The stages are real ones (`run_stage`, `commit_shard`) on tiny arrays, the stores, catalogue and MLflow database are real; the
clock is `aged_home`'s. What a night leaves in rows and bytes is what a real one leaves, in small.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from aged_home import bytes_of, row_counts

from infra.artifacts import ArtifactRef
from infra.catalogue import ClipUpsert
from infra.catalogue.clips import ClipRow
from infra.catalogue.labels import GenerationFacts, GenerationState
from infra.catalogue.quality import QualityRow
from infra.sqlite_url import sqlite_file
from mer.features.clip_feature import ClipFeature
from tasks.data.features import missing_contents
from tasks.data.shard_commit import commit_shard
from tasks.stage.run import Produced, StageResult, StageRun, digest, run_stage
from tasks.stage.workspace import Workspace

CORPUS, MODEL = "nights", "nights"
FEATURES = digest("features of the nights")
NEW, SHOWN = 3, 12
"""Clips that come each night, and that are there at once: the oldest go."""


class Nights:
    """An installation, night by night."""

    def __init__(self, space: Workspace, champion_every: int) -> None:
        self.space = space
        self.champion_every = champion_every
        self.night = 0
        space.catalogue.upsert_corpus(CORPUS, space.settings.home / "clips", "folders", ["angry", "happy"])

    def run(self, *, track: bool = True) -> list[StageResult]:
        """What a nightly run does over the clips as they are; equal clips give equal stages."""
        space = self.space
        rows = space.catalogue.clips(CORPUS)
        frozen = space.catalogue.snapshot(CORPUS, rows)
        contents = [row.content for row in rows]
        results = [
            commit_shard(space, FEATURES, shard, lambda shard=shard: _features(shard), code="c")  # type: ignore[misc]
            for shard in _shards(missing_contents(space, FEATURES, contents))
        ]
        parent = f"night {self.night}" if track else None
        dataset = _stage("dataset", {"membership": frozen.id}, parent)
        models = [
            _stage("fusion", {"dataset": dataset.ref.sha256, "view": view}, parent)
            for view in ("fold0", "final")
        ]
        evaluation = _stage("evaluation", {"models": [model.ref.sha256 for model in models]}, parent)
        package = _stage("model", {"evaluation": evaluation.ref.sha256}, parent)
        version = space.catalogue.add_model_version(
            MODEL,
            package.ref,
            evaluation=evaluation.ref,
            snapshot=frozen.id,
            metrics={"waf": 0.5},
            idempotency_key=package.ref.key,
        )
        better = version % self.champion_every == 1
        space.catalogue.set_alias(
            MODEL,
            "champion" if better else "challenger",
            version,
            "the gate said so",
            idempotency_key=f"{version} {better}",
        )
        self._vote(models[-1].ref, rows)
        space.artifacts.fetch(self._champion())
        return [*results, dataset, *models, evaluation, package]

    def new_clips(self) -> None:
        """Some clips come, the oldest go."""
        self.night += 1
        first = self.night * NEW
        self.space.catalogue.upsert_clips(CORPUS, [_clip(number) for number in range(first, first + NEW)])
        names = range(max(0, first - SHOWN), first + NEW - SHOWN)
        self.space.catalogue.forget_files(CORPUS, [_path(number) for number in names])
        rows = [
            QualityRow(content=_content(number), method="m", duration_seconds=1.0, speech_seconds=0.5)
            for number in range(first, first + NEW)
        ]
        self.space.catalogue.set_quality(rows)

    def serves(self) -> None:
        """The champion answers: its package is there, byte for byte."""
        self.space.artifacts.verify(self._champion())

    def counts(self) -> dict[str, int]:
        """Rows of all tables and bytes, without what grows by a row for each version that was ever registered."""
        settings = self.space.settings
        catalogue = sqlite_file(settings.database_url.get_secret_value())
        assert catalogue is not None
        counts = row_counts(catalogue)
        tracked = settings.home / "mlflow" / "mlflow.db"
        if tracked.is_file():
            counts |= {f"mlflow.{table}": count for table, count in row_counts(tracked).items()}
        for table in ("promotions", "model_versions"):
            del counts[table]
        for name in (
            "objects/blobs",
            "objects/manifests",
            "cache",
            "checkpoints",
            "mlflow/artifacts",
            "spool",
        ):
            counts[f"bytes of {name}"] = bytes_of(settings.home / name)
        return counts

    def _champion(self) -> ArtifactRef:
        champion = self.space.catalogue.champion(MODEL)
        assert champion is not None
        return champion.artifact

    def _vote(self, voter: ArtifactRef, rows: Sequence[ClipRow]) -> None:
        selection = _stage("selection", {"voter": voter.sha256}, None)
        facts = GenerationFacts(
            key=selection.ref.key,
            corpus=CORPUS,
            artifact=selection.ref,
            policy={},
            counts={"angry": len(rows)},
            state=GenerationState.REJECTED,
            reason="did not help",
        )
        labels = [(row.name, row.content, "angry", 0.9, None) for row in rows]
        self.space.catalogue.add_generation(facts, labels)


def _stage(kind: str, inputs: dict[str, object], parent: str | None) -> StageResult:
    return run_stage(kind, inputs=inputs, config={"size": 3}, produce=_produced, parent_run=parent)


def _produced(run: StageRun) -> Produced:
    run.folder.joinpath("half.bin").write_bytes(b"half done")
    seed = int(run.folder.name[:8], 16)
    weights = np.random.default_rng(seed).normal(size=250).astype(np.float32).tobytes()
    return Produced(
        files={"weights.bin": weights, "report.json": b"{}"},
        meta={"seed": seed},
        metrics={"waf": 0.5},
        history=[{"epoch": epoch, "loss": 1.0 / (epoch + 1)} for epoch in range(3)],
    )


def _shards(contents: Sequence[str]) -> list[list[str]]:
    return [list(contents[first : first + 4]) for first in range(0, len(contents), 4)]


def _features(contents: Sequence[str]) -> list[ClipFeature]:
    return [
        ClipFeature(values=np.full((1, 4), int(content[:4], 16), dtype=np.float32), present=True)
        for content in contents
    ]


def _clip(number: int) -> ClipUpsert:
    return ClipUpsert(
        name=f"clip{number}",
        content=_content(number),
        path=_path(number),
        size=1000,
        mtime_ns=number,
        duration_seconds=1.0,
        has_audio=True,
        has_video=False,
        transcript=f"words of {number}",
    )


def _content(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _path(number: int) -> str:
    return f"/clips/clip{number}.wav"
