"""Drift of new clips against the training snapshot of the version that is served: tests, priors, a verdict, figures, a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import task

from infra.artifacts import ArtifactRef
from infra.catalogue import ModelVersionRow
from mer.drift.config import DriftConfig, DriftPolicy
from mer.label_shift.config import LabelShiftConfig
from tasks.serve.drift_clips import (
    NewClips,
    batch_digest,
    measured_batch,
    measured_reference,
    new_of_corpus,
    new_of_paths,
    served_package,
)
from tasks.serve.label_shift import analyse_predictions
from tasks.serve.library import answering_version, model_named
from tasks.stage.run import Produced, StageRun, run_stage
from tasks.stage.workspace import Workspace, reading_workspace, workspace

if TYPE_CHECKING:
    from mer.drift.battery import Battery
    from mer.drift.measured import MeasuredClips
    from mer.drift.verdict import Verdict
    from mer.label_shift.tracking import TrackedPriors

REPORT = "report.json"
FORGETTING = 0.9
"""Weight of earlier batches in the tracked priors for every batch that came since: about ten count."""


@dataclass(frozen=True)
class DriftRequest:
    """What is compared with which version."""

    model: str = ""
    """Empty: the model that was promoted last."""
    version: int | None = None
    """None: the champion."""
    corpus: str = ""
    """Name in the catalogue: its clips that are not in the version's snapshot. Empty: `paths`."""
    paths: tuple[str, ...] = ()
    config: DriftConfig | None = None
    """None: the version's recipe's."""
    policy: DriftPolicy | None = None
    """In place of the configuration's."""
    parent_run: str | None = None


@dataclass(frozen=True)
class DriftFound:
    """What a look at a batch found; small enough for a task's result."""

    model: str
    version: int
    clips: int
    """New clips that were looked at."""
    finding: str
    action: str
    reason: str
    tests: tuple[Mapping[str, Any], ...] = ()
    """As `mer.drift.battery.DriftTest`, with `alarm`."""
    compared: str = ""
    """What was exchanged, in one line."""
    priors: str = ""
    """What is known of the class priors, in one line."""
    tracked: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """Class -> training prior, prior over the batches so far, its standard error."""
    batches: int = 0
    """Batches that `tracked` has seen."""
    notes: tuple[str, ...] = ()
    unusable: tuple[tuple[str, str], ...] = ()
    ref: ArtifactRef | None = None
    """The report as an artifact; None: nothing could be tested."""


@task(name="drift", tags=["gpu"])
def drift_of(request: DriftRequest) -> DriftFound:
    """Compare new clips with the training snapshot of a version.

    The training side is measured once per version, the new clips once; a look that was taken before is found.

    Raises:
        LookupError: no such model or version.
        CorpusError: there is no clip under the paths.
    """
    from mer.drift.verdict import not_tested

    space = reading_workspace()
    model = model_named(space, request.model)
    version = answering_version(space, model, request.version).row
    config = request.config or served_package(space, version).recipe.drift
    if request.policy is not None:
        config = config.model_copy(update={"policy": request.policy})
    if request.corpus:
        new = new_of_corpus(space, request.corpus, version, config)
    else:
        new = new_of_paths(space, request.paths, config)
    found = DriftFound(
        model, version.version, len(new.clips), "not tested", "nothing", "", unusable=new.unusable
    )
    if (verdict := not_tested(len(new.clips), config.least_clips, config)) is not None:
        return _with(found, verdict)
    reference = measured_reference(space, version, config)
    count = 0 if reference is None else int(reference.meta["clips"])
    verdict = not_tested(len(new.clips), count, config)
    if reference is None or verdict is not None:
        return _with(found, verdict if reference is not None else None)
    batch = measured_batch(space, version, new)
    return _reported(
        _Look(space, version, config, new, model, request.parent_run), reference.ref, batch.ref, found
    )


@task(name="close drift run")
def close_drift_run(found: DriftFound, parent_run: str) -> None:
    """Mark the tracked run of a look finished, with what was found; a look in which nothing could be tested leaves none."""
    if found.ref is not None:
        workspace().tracker.log_run(
            parent_run,
            params={"model": found.model, "version": str(found.version), "clips": str(found.clips)},
            metrics={"alarms": float(sum(bool(one["alarm"]) for one in found.tests))},
            tags={"finding": found.finding, "action": found.action},
            status="FINISHED",
        )


@dataclass(frozen=True)
class _Look:
    space: Workspace
    version: ModelVersionRow
    config: DriftConfig
    new: NewClips
    model: str
    parent_run: str | None


def _reported(look: _Look, reference: ArtifactRef, batch: ArtifactRef, found: DriftFound) -> DriftFound:
    """Tests, verdict and figures as a stage; the report is read back from it."""
    package = served_package(look.space, look.version)
    previous = _earlier_report(look)

    def produce(run: StageRun) -> Produced:
        from mer.drift.battery import run_battery
        from mer.drift.measured import MeasuredClips
        from mer.drift.verdict import verdict_of

        old, new = (MeasuredClips.load(run.space.artifacts.fetch(ref)) for ref in (reference, batch))
        emotions = package.recipe.emotions
        battery = run_battery(old, new, look.config, emotions)
        verdict = verdict_of(battery, len(new), look.config)
        priors = _priors(run.space, look, new)
        tracked = _tracked(run.space, previous, old, new)
        alarms = battery.alarms(look.config)
        report = {
            "model": look.model,
            "version": look.version.version,
            "clips": len(new),
            "verdict": asdict(verdict),
            "tests": [{**asdict(one), "alarm": one in alarms} for one in battery.tests],
            "compared": _compared(battery),
            "priors": priors,
            "tracked": None if tracked is None else tracked.to_json(),
            "emotions": list(emotions),
            "config": look.config.model_dump(mode="json"),
            "notes": _notes(look.new, old, battery),
        }
        figures = _figures(old, new, battery, priors, look)
        largest = {
            f"effect_{family}": max(one.effect for one in battery.tests if one.family == family)
            for family in dict.fromkeys(one.family for one in battery.tests)
        }
        return Produced(
            files={REPORT: (json.dumps(report, indent=1) + "\n").encode(), **figures},
            meta={
                "model": look.model,
                "version": look.version.version,
                "batch": batch_digest(look.new),
                "finding": verdict.finding,
                "action": verdict.action,
                "previous": "" if previous is None else previous.key,
            },
            metrics={**largest, "alarms": float(len(alarms)), "clips": float(len(new))},
            figures=figures,
        )

    result = run_stage(
        "drift",
        inputs={
            "version": [look.model, look.version.version, look.version.artifact.sha256],
            "reference": reference.sha256,
            "batch": batch.sha256,
            "left out": look.new.left_out,
            "previous": None if previous is None else previous.sha256,
        },
        config=look.config.model_dump(mode="json"),
        produce=produce,
        label="drift",
        parent_run=look.parent_run,
    )
    return _read(look, result.ref, found)


def _read(look: _Look, ref: ArtifactRef, found: DriftFound) -> DriftFound:
    from mer.drift.verdict import Verdict
    from mer.label_shift.page import shift_line
    from mer.label_shift.tracking import TrackedPriors

    report = json.loads(look.space.artifacts.read(ref, REPORT))
    tracked: dict[str, tuple[float, float, float]] = {}
    batches = 0
    if report["tracked"] is not None:
        state = TrackedPriors.from_json(report["tracked"])
        batches = state.batches
        values = zip(state.training, state.prior, state.standard_errors(), strict=True)
        tracked = {
            name: (float(training), float(prior), float(error))
            for name, (training, prior, error) in zip(report["emotions"], values, strict=True)
        }
    return DriftFound(
        **{
            **vars(_with(found, Verdict(**report["verdict"]))),
            "tests": tuple(report["tests"]),
            "compared": report["compared"],
            "priors": shift_line(report["priors"]),
            "tracked": tracked,
            "batches": batches,
            "notes": tuple(report["notes"]),
            "ref": ref,
        }
    )


def _with(found: DriftFound, verdict: Verdict | None) -> DriftFound:
    reason = (
        "the version has no predictions of clips that it did not learn" if verdict is None else verdict.reason
    )
    finding, action = ("not tested", "nothing") if verdict is None else (verdict.finding, verdict.action)
    return DriftFound(**{**vars(found), "finding": finding, "action": action, "reason": reason})


def _compared(battery: Battery) -> str:
    what = "speakers" if battery.by_speaker else "clips"
    pairs = f", {battery.pairs} of them in both and compared with themselves" if battery.pairs else ""
    clips = f"{battery.clips[0]} and {battery.clips[1]} clips"
    return f"exchanged: {battery.units[0]} {what} of the training snapshot, {battery.units[1]} new{pairs} ({clips})"


def _notes(new: NewClips, reference: MeasuredClips, battery: Battery) -> list[str]:
    notes = []
    if not battery.by_speaker and any(who is not None for who in reference.speakers):
        notes.append(
            "speakers of the new clips are not known: they are taken to have about as many clips each as those of training; "
            "a batch of a single voice can alarm by that voice alone"
        )
    if any(who is not None and who.startswith("folder ") for who in new.speakers):
        notes.append("speakers are not known: each folder of the new clips is taken for one")
    if new.left_out:
        notes.append(f"{new.left_out} more new clips were not read (drift.batch_clips)")
    return notes


def _priors(space: Workspace, look: _Look, new: MeasuredClips) -> dict[str, Any]:
    """Priors of the new clips with intervals, where there are enough of them."""
    package = served_package(space, look.version)
    config = LabelShiftConfig(resamples=300, seed=look.config.seed)
    logits = np.log(np.maximum(new.probabilities, 1e-12))
    return analyse_predictions(space, look.version, package, look.new.clips, logits, config).to_json()


def _tracked(
    space: Workspace, previous: ArtifactRef | None, reference: MeasuredClips, new: MeasuredClips
) -> TrackedPriors | None:
    """Priors over the batches that this version has seen, the newest one in full."""
    from mer.label_shift.tracking import TrackedPriors

    training = reference.probabilities.mean(axis=0)
    state = TrackedPriors.start(training / training.sum())
    if previous is not None:
        stored = json.loads(space.artifacts.read(previous, REPORT))["tracked"]
        state = state if stored is None else TrackedPriors.from_json(stored)
    return state.update(np.log(np.maximum(new.probabilities, 1e-12)), FORGETTING)


def _earlier_report(look: _Look) -> ArtifactRef | None:
    """Report of the batch before this one; of a batch that was looked at already, the one that came before it then."""
    batch = batch_digest(look.new)
    earlier = [
        record.ref
        for record in look.space.catalogue.artifacts("drift")
        if record.ref.meta.get("model") == look.model
        and record.ref.meta.get("version") == look.version.version
    ]
    seen = next((ref for ref in earlier if ref.meta.get("batch") == batch), None)
    if seen is not None:
        earlier = [ref for ref in earlier if ref.key == seen.meta.get("previous")]
    # what was removed since is passed over
    return next(
        (ref for ref in reversed(earlier) if look.space.artifacts.lookup("drift", ref.key) is not None), None
    )


def _figures(
    reference: MeasuredClips, new: MeasuredClips, battery: Battery, priors: Mapping[str, Any], look: _Look
) -> dict[str, bytes]:
    from mer.drift.figures import distributions_figure, effects_figure, priors_figure

    title = f"{look.model} version {look.version.version}: {len(new)} new clips"
    emotions = served_package(look.space, look.version).recipe.emotions
    figures = {
        "drift_effects.png": effects_figure(battery, look.config, title),
        "drift_distributions.png": distributions_figure(reference, new, battery, emotions),
        "drift_priors.png": priors_figure(priors) if priors["available"] else None,
    }
    return {name: figure for name, figure in figures.items() if figure is not None}
