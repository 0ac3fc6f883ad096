"""The one way to run a stage: key -> lookup -> verify -> run -> commit.

A stage's key is the hash of its kind, its inputs (artifact hashes and membership digests), its configuration and the version of
the code that computes it. If a verified artifact exists under the key, nothing runs. Otherwise the stage runs in a work folder
named by the key, where its checkpoints survive a kill, and commits its files with a manifest written last. What is recorded of
it besides (`tasks.stage.stage_record`) lies in the folder before the commit, so that a kill after it loses nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.artifacts import ArtifactRef
from infra.tracking import RunRecord, stage_event
from tasks.stage.code_version import code_version
from tasks.stage.compute import computing
from tasks.stage.finding import commit, lookup_used, lookup_verified
from tasks.stage.library_versions import library_versions, tell_other_libraries
from tasks.stage.looking import NotMade, is_looking
from tasks.stage.observed import observed_stage
from tasks.stage.stage_record import StageRecord, settle
from tasks.stage.work_folder import alone_in, clear_if_abandoned
from tasks.stage.work_record import WorkRecord, describe_work
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.training.checkpoint import Checkpoint

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Produced:
    """What a stage's function hands over for commit."""

    files: Mapping[str, Path | bytes]
    """Artifact file name -> local file or bytes."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Small JSON facts kept in the manifest and in the reference."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Final figures, logged to the tracker."""
    history: Sequence[Mapping[str, float]] = ()
    """Figures per epoch, logged as one batch."""
    figures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG images by name, logged to the tracker."""


@dataclass(frozen=True)
class StageResult:
    """What a task returns: a reference and whether the work was done now."""

    ref: ArtifactRef
    ran: bool
    seconds: float
    """How long it took, without waiting for this process' turn to compute."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """Facts of the artifact's manifest."""
        return self.ref.meta


@dataclass(frozen=True)
class StageRun:
    """What a stage's function may use while it runs."""

    space: Workspace
    folder: Path
    """Work folder of this stage key; survives a kill, removed after commit."""

    @property
    def checkpoint(self) -> Checkpoint:
        """Checkpoint that a killed run left, or the place to write one."""
        from mer.training.checkpoint import (
            Checkpoint,
        )  # loads torch, which a run that finds everything does without

        return Checkpoint(self.folder / CHECKPOINT)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """sha256 (hex) of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()


def stage_key(kind: str, inputs: Mapping[str, Any], config: Mapping[str, Any], code: str) -> str:
    """Key under which a stage's artifact is found again; `code` is a version as `code_version` gives it."""
    return digest({"kind": kind, "inputs": inputs, "config": config, "code": code})


def run_stage(
    kind: str,
    *,
    inputs: Mapping[str, Any],
    config: Mapping[str, Any],
    produce: Callable[[StageRun], Produced],
    implementations: Sequence[str] = (),
    label: str | None = None,
    parent_run: str | None = None,
) -> StageResult:
    """Return the artifact of a stage, computing it only if no verified one exists.

    Args:
        kind: stage name; also the artifact's kind.
        inputs: hashes of everything the result depends on (JSON).
        config: the stage's configuration (JSON).
        produce: computes the files; runs only when needed. Its code is part of the key (see `tasks.stage.code_version`).
        implementations: what the configuration chose of the tables that `produce` looks into (see `mer.implementations`).
        label: name of the tracked run (default: `kind`).
        parent_run: name of the tracked parent run; none: the stage is not tracked.

    Raises:
        NotMade: there is none, and this process only looks (`tasks.stage.looking`).
    """
    code = code_version(produce, implementations=implementations)
    key = stage_key(kind, inputs, config, code)
    if is_looking():
        return _looked_up(kind, key)
    job = _Job(kind, key, code, config, tuple(implementations), label or kind, parent_run)
    with observed_stage(kind, label, parent_run) as observed:
        result = _found_or_computed(job, produce)
        observed.ended(ran=result.ran, seconds=result.seconds)
    return result


@dataclass(frozen=True)
class _Job:
    """A stage that is about to run."""

    kind: str
    key: str
    code: str
    config: Mapping[str, Any]
    implementations: Sequence[str]
    label: str
    parent_run: str | None


def _found_or_computed(job: _Job, produce: Callable[[StageRun], Produced]) -> StageResult:
    space = workspace()
    started = time.monotonic()
    kind, key = job.kind, job.key
    folder = space.work / kind / key
    if (existing := lookup_verified(space, kind, key)) is not None:
        clear_if_abandoned(folder, partial(settle, space, folder, existing))
        tell_other_libraries(space.catalogue.artifact_record(existing), library_versions(job.implementations))
        return StageResult(ref=existing, ran=False, seconds=time.monotonic() - started)
    with alone_in(folder):
        if (existing := lookup_used(space, kind, key)) is not None:  # another process was faster
            settle(space, folder, existing)
            shutil.rmtree(folder, ignore_errors=True)
            return StageResult(ref=existing, ran=False, seconds=time.monotonic() - started)
        describe_work(folder, WorkRecord.of(job.label, job.parent_run, job.code))
        with computing(space.settings) as waited:
            produced = produce(StageRun(space=space, folder=folder))
        computed = time.monotonic() - started - waited
        tracked = None
        if job.parent_run is not None:
            tracked = _tracked(job, job.parent_run, produced, computed)
        made_by = job.code, library_versions(job.implementations)
        StageRecord(kind, *made_by, tracked).write(folder)
        ref = commit(space, (kind, key), produced.files, produced.meta, made_by)
        settle(space, folder, ref)
        seconds = time.monotonic() - started - waited
        shutil.rmtree(folder, ignore_errors=True)
    return StageResult(ref=ref, ran=True, seconds=seconds)


def find_stage(
    kind: str,
    *,
    inputs: Mapping[str, Any],
    config: Mapping[str, Any],
    produce: Callable[[StageRun], Produced],
    implementations: Sequence[str] = (),
) -> StageResult | None:
    """The artifact of a stage if there is a verified one; nothing is computed. Arguments are those of `run_stage`."""
    started = time.monotonic()
    key = stage_key(kind, inputs, config, code_version(produce, implementations=implementations))
    if is_looking():
        return _looked_up(kind, key)
    found = lookup_verified(workspace(), kind, key)
    return None if found is None else StageResult(ref=found, ran=False, seconds=time.monotonic() - started)


def _looked_up(kind: str, key: str) -> StageResult:
    """The artifact as it stands, for a process that only looks: neither verified nor stamped as used."""
    if (ref := workspace().artifacts.lookup(kind, key)) is None:
        raise NotMade(kind)
    return StageResult(ref=ref, ran=False, seconds=0.0)


def _tracked(job: _Job, parent_run: str, produced: Produced, seconds: float) -> dict[str, Any]:
    return stage_event(
        parent_run,
        job.key,
        RunRecord(
            name=job.label,
            params=flatten(job.config),
            metrics={**produced.metrics, "stage_seconds": seconds},
            seconds=seconds,
            history=produced.history,
            figures=produced.figures,
        ),
    )


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested configuration as flat `a.b = text` parameters for the tracker."""
    flat: dict[str, str] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            flat.update(flatten(item, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = str(item)
    return flat
