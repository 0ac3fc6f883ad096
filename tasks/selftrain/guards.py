"""The guards of a refresh on stored artifacts: before training on a batch's pseudo-labels, and on the canary after it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import task

from mer.selftraining.config import SelfTrainingConfig
from tasks.data.dataset import load_partitions, load_view
from tasks.data.selections import load_selections, read_ballot
from tasks.data.streams import tables_identity, vector_level, view_streams
from tasks.learn.fusion import load_posteriors
from tasks.selftrain.pseudo_labels import held_out_answers, held_out_posteriors
from tasks.selftrain.rounds import HeldOutVoters
from tasks.stage.references import DatasetRef, FusedView, Standing, StreamInputs, View
from tasks.stage.run import Produced, StageResult, StageRun, digest, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mer.examples import Examples
    from mer.fusion.streams import StreamTable
    from mer.label_shift.clip_sets import CalibrationClips, TargetClips
    from mer.selftraining.guards import Finding

FINDINGS = "findings.json"


@task(name="check pseudo-labels")
def check_selection(
    view: View,
    inputs: StreamInputs,
    config: SelfTrainingConfig,
    selected: StageResult,
    standing: Standing,
    asked: Sequence[HeldOutVoters],
) -> StageResult:
    """Class shares, drift of the priors and contradicted sources of the served view's selection; meta `stop`: why, or None.

    `asked` as of `select_view`.
    """
    space = workspace()
    emotions = view.dataset.emotions
    examples, partition = load_view(space, view)
    sources = _sources(space, view.dataset, examples)
    earlier, level = standing.live[view.name], vector_level(inputs)

    def produce(run: StageRun) -> Produced:
        from mer.selftraining.guards import class_share_guard, prior_drift_guard
        from mer.selftraining.training_set import training_set

        (chosen,) = load_selections(run.space, [selected.ref], examples)
        candidates = read_ballot(run.space, selected.ref, examples).candidates
        gold = examples.emotion[partition.train]
        held = [load_view(run.space, one.view)[1].validation & (examples.emotion >= 0) for one in asked]
        findings = [class_share_guard(gold, chosen.emotion, emotions, config.guards)]
        known = np.concatenate([np.flatnonzero(rows) for rows in held])
        if len(known):
            calibration, target = _clip_sets(run.space, examples, known, asked, candidates)
            findings.append(prior_drift_guard(calibration, target, emotions, config.guards))
        learnt = training_set(
            examples,
            partition,
            [*load_selections(run.space, earlier, examples), chosen],
            config,
        )
        training = learnt.examples.subset(np.flatnonzero(learnt.train))
        tables = view_streams(run.space, inputs, level, training.clip_ids)
        where = [sources.get(name) for name in training.clip_ids]
        findings += _contradicted(tables, training, set(chosen.clip_ids), where, config)
        return _produced(findings)

    return run_stage(
        "pseudo-checks",
        inputs={
            "selection": selected.ref.sha256,
            "asked": [[one.view.label, one.voters[0].posteriors.sha256] for one in asked],
            "view": partition.digest(examples, unlabelled=False),
            "live": [ref.sha256 for ref in earlier],
            "streams": {name: tables_identity(item, (level,)) for name, item in inputs.items()},
            "sources": digest(sources),
        },
        config={
            "guards": config.guards.model_dump(mode="json"),
            "weight": config.weight,
            "weighting": config.weighting,
        },
        produce=produce,
        label="check pseudo-labels",
        parent_run=view.parent_run,
    )


@task(name="watch canary")
def watch_canary(
    view: View, config: SelfTrainingConfig, before: Sequence[FusedView], after: FusedView
) -> StageResult:
    """Compare a round's model of the served view with earlier ones on the canary's true labels; meta `stop`: why, or None.

    `before` holds the supervised model and the one that the refresh began with: small falls of many rounds and generations
    cannot add up to a large one unseen.
    """
    classes = len(view.dataset.emotions)
    examples, partitions = load_partitions(workspace(), view.dataset)
    canary = partitions[view.name].canary & (examples.emotion >= 0)
    rows = np.flatnonzero(canary)

    def produce(run: StageRun) -> Produced:
        from mer.selftraining.guards import canary_guard

        findings = []
        for earlier in before:
            answers = held_out_answers(run.space, examples, canary, earlier, after)
            finding = canary_guard(answers.truth, answers.before, answers.after, classes, config.guards)
            since = f", since `{earlier.system}`" if finding.value is not None else ""
            findings.append(replace(finding, reason=f"{finding.reason}{since}"))
        return _produced(findings)

    return run_stage(
        "pseudo-canary",
        inputs={
            "before": [[earlier.system, earlier.posteriors.sha256] for earlier in before],
            "after": after.posteriors.sha256,
            "canary": sorted(f"{examples.clip_ids[row]}|{examples.emotion[row]}" for row in rows),
        },
        config={"guards": config.guards.model_dump(mode="json")},
        produce=produce,
        label="watch canary",
        parent_run=view.parent_run,
    )


def read_findings(result: StageResult) -> list[dict[str, Any]]:
    """What guards found, as JSON values."""
    values: list[dict[str, Any]] = json.loads(workspace().artifacts.read(result.ref, FINDINGS))
    return values


def _produced(findings: Sequence[Finding]) -> Produced:
    from mer.selftraining.guards import stop_reason

    measured = {
        finding.guard.replace(" ", "_"): finding.value for finding in findings if finding.value is not None
    }
    return Produced(
        files={FINDINGS: json.dumps([vars(finding) for finding in findings], indent=1).encode()},
        meta={"stop": stop_reason(findings)},
        metrics=measured,
    )


def _clip_sets(
    space: Workspace,
    examples: Examples,
    known: NDArray[np.int64],
    asked: Sequence[HeldOutVoters],
    candidates: Sequence[str],
) -> tuple[CalibrationClips, TargetClips]:
    """Validation clips with their labels, and the candidates, both by the same leading voters at one temperature.

    Where parts of the view have leaders of their own, the candidates' speakers are dealt to them in turn: clips of both kinds
    are then answered by models that have heard as much.
    """
    from mer.evaluation.calibration import fit_temperature
    from mer.label_shift.clip_sets import CalibrationClips, TargetClips
    from mer.posteriors import Posteriors

    (held_out,) = held_out_posteriors(space, examples, asked, [0])
    truth = examples.emotion[known]
    logits = held_out.restricted([examples.clip_ids[row] for row in known]).logits
    temperature = fit_temperature(logits, truth)
    speaker = dict(zip(examples.clip_ids, examples.speaker, strict=True))
    turns = {name: turn for turn, name in enumerate(sorted({speaker[clip] or clip for clip in candidates}))}
    answered = []
    for number, one in enumerate(asked):
        said = load_posteriors(space, one.voters[0].posteriors)
        answers = set(said.clip_ids)
        own = [clip for clip in candidates if turns[speaker[clip] or clip] % len(asked) == number]
        answered.append(said.restricted([clip for clip in own if clip in answers]))
    target = Posteriors.joined(answered)
    return (
        CalibrationClips(logits / temperature, tuple(examples.speaker[row] for row in known), truth),
        TargetClips(target.logits / temperature, tuple(speaker[clip] for clip in target.clip_ids)),
    )


def _contradicted(
    tables: Mapping[str, StreamTable],
    training: Examples,
    chosen: Collection[str],
    where: Sequence[str | None],
    config: SelfTrainingConfig,
) -> list[Finding]:
    """Sources of this selection that a linear probe on the streams' vectors contradicts.

    Args:
        tables: vectors of the training clips.
        training: gold and pseudo-labels of these clips.
        chosen: clips of the selection that is checked.
        where: source of every training clip, if known.
        config: its guards are read.
    """
    from mer.domain.training_domain import clip_vectors
    from mer.selftraining.guards import second_opinion, source_guard

    pseudo = np.array([name in chosen for name in training.clip_ids], dtype=bool)
    opinion = second_opinion(
        {name: np.nan_to_num(clip_vectors(table)) for name, table in tables.items()},
        training.emotion,
        pseudo,
        where,
        training.weight,
    )
    judged = np.flatnonzero(opinion >= 0)
    return source_guard(
        [where[row] for row in judged.tolist()], opinion[judged] == training.emotion[judged], config.guards
    )


def _sources(space: Workspace, dataset: DatasetRef, examples: Examples) -> dict[str, str]:
    """Where each unlabelled clip comes from: its speaker, or the folder it lies in; clips of one folder alone have none."""
    unlabelled = {examples.clip_ids[row] for row in np.flatnonzero(examples.emotion < 0)}
    rows = [row for row in space.catalogue.clips(dataset.corpus) if row.name in unlabelled]
    source_of = {row.name: row.speaker or str(PurePath(row.path).parent) for row in rows}
    return source_of if len(set(source_of.values())) > 1 else {}
