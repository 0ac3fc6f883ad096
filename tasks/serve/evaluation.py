"""Evaluation: out-of-fold scores of every system, calibration, and the fixed holdout. The only place that reads test labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from prefect import task

from mer.conformal.record import FILE as CONFORMAL
from mer.label_shift.config import LabelShiftConfig
from mer.recipes.systems import FROZEN, LOGISTIC
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import holdout_parts, load_partitions
from tasks.learn.fusion import load_posteriors
from tasks.serve.evaluation_files import HOLDOUT, OUT_OF_FOLD, UNLABELLED
from tasks.stage.references import FusedView, View
from tasks.stage.run import Produced, StageResult, StageRun, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mer.conformal.record import ConformalRecord
    from mer.examples import Examples
    from mer.posteriors import Posteriors
    from mer.training.partition import Partition

PSEUDO_MARK = "+pseudo"
"""End of the names of systems that learnt from pseudo-labels."""


@task(name="evaluate")
def evaluate(
    view: View, fused: Sequence[FusedView], served: str, label_shift: LabelShiftConfig
) -> StageResult:
    """Score all systems out of fold and on the holdout; calibrate the served one on its out-of-fold logits.

    Args:
        view: the view that is served; all views of its snapshot are scored.
        fused: systems on all views.
        served: name of the one that is served.
        label_shift: how class priors of unlabelled clips and of the holdout are estimated.
    """
    dataset = view.dataset
    examples, partitions = load_partitions(workspace(), dataset)

    def produce(run: StageRun) -> Produced:
        from mer.evaluation.report import evaluate_systems

        out_of_fold = {
            system: _out_of_fold(
                run.space, [item for item in fused if item.system == system], examples, partitions
            )
            for system in dict.fromkeys(item.system for item in fused)
        }
        final = next(item for item in fused if item.view == FINAL_VIEW and item.system == served)
        holdout = load_posteriors(run.space, final.posteriors).restricted(
            [examples.clip_ids[i] for i in np.flatnonzero(_scored_holdout(examples, partitions[FINAL_VIEW]))]
        )
        parts = holdout_parts(run.space, dataset)
        report = evaluate_systems(
            examples,
            out_of_fold,
            holdout,
            dataset.emotions,
            served=served,
            parts=parts,
            against=(LOGISTIC, FROZEN, served.removesuffix(PSEUDO_MARK)),
        )
        reliance = _reliance(examples, out_of_fold[served], report.temperature)
        shift: dict[str, Any] = {}
        if label_shift.mode != "off":
            # the supervised model judges: one that learnt from pseudo-labels has seen the unlabelled clips
            system = served.removesuffix(PSEUDO_MARK)
            judge = next(item for item in fused if item.view == FINAL_VIEW and item.system == system)
            said = load_posteriors(run.space, judge.posteriors)
            scored = _Scored(examples, partitions[FINAL_VIEW], out_of_fold[system], said, dataset.emotions)
            shift = {"label_shift": _label_shift(scored, label_shift)}
        return Produced(
            files={
                "report.json": json.dumps(report.to_json() | reliance.measured | shift, indent=1).encode(),
                OUT_OF_FOLD: out_of_fold[served].to_parquet(),
                HOLDOUT: holdout.to_parquet(),
                CONFORMAL: reliance.record.model_dump_json().encode(),
                UNLABELLED: _unlabelled(
                    run.space, fused, served, out_of_fold, (examples, partitions)
                ).to_parquet(),
                **report.figures,
            },
            meta={"served": served, "temperature": report.temperature, **report.headline},
            metrics=report.headline,
            figures=report.figures,
        )

    return run_stage(
        "evaluation",
        inputs={
            "dataset": dataset.ref.sha256,
            "posteriors": sorted([item.system, item.view, item.posteriors.sha256] for item in fused),
        },
        config={"served": served, "label_shift": label_shift.model_dump(mode="json")},
        produce=produce,
        label="evaluate",
        parent_run=view.parent_run,
    )


def read_report(result: StageResult) -> dict[str, Any]:
    """The evaluation's report as JSON values."""
    values: dict[str, Any] = json.loads(workspace().artifacts.read(result.ref, "report.json"))
    return values


def _out_of_fold(
    space: Workspace, views: Sequence[FusedView], examples: Examples, partitions: Mapping[str, Partition]
) -> Posteriors:
    """One posterior per cross-validation clip, each from the view that did not train on it."""
    from mer.posteriors import Posteriors

    return Posteriors.joined(
        [
            load_posteriors(space, item.posteriors).restricted(
                [examples.clip_ids[i] for i in np.flatnonzero(partitions[item.view].test)]
            )
            for item in views
            if item.view != FINAL_VIEW
        ]
    )


def _unlabelled(
    space: Workspace,
    fused: Sequence[FusedView],
    served: str,
    out_of_fold: Mapping[str, Posteriors],
    clips: tuple[Examples, Mapping[str, Partition]],
) -> Posteriors:
    """Calibrated answers for the unlabelled clips, of whom people are asked (see `UNLABELLED`)."""
    from dataclasses import replace

    from mer.evaluation.calibration import fit_temperature

    examples, partitions = clips
    system = served.removesuffix(PSEUDO_MARK)
    system = system if system in out_of_fold else served
    final = next(item for item in fused if item.view == FINAL_VIEW and item.system == system)
    said = load_posteriors(space, final.posteriors)
    place = {name: row for row, name in enumerate(examples.clip_ids)}
    truth = examples.emotion[[place[name] for name in out_of_fold[system].clip_ids]]
    rows = np.flatnonzero(partitions[FINAL_VIEW].unlabelled)
    answers = said.restricted([examples.clip_ids[row] for row in rows])
    temperature = fit_temperature(out_of_fold[system].logits, truth)
    return replace(answers, logits=(answers.logits / temperature).astype(np.float32))


class _Reliance(NamedTuple):
    """How often the served system is right when it is how sure."""

    record: ConformalRecord
    measured: dict[str, Any]
    """`answers`: how sets and abstention fare on speakers held out; empty where there is one fold."""


def _reliance(examples: Examples, out_of_fold: Posteriors, temperature: float) -> _Reliance:
    from mer.conformal.measured import measured_answers
    from mer.conformal.record import conformal_record

    position = {clip_id: row for row, clip_id in enumerate(examples.clip_ids)}
    rows = np.array([position[clip_id] for clip_id in out_of_fold.clip_ids], dtype=np.int64)
    truth, speakers = examples.emotion[rows], [examples.speaker[row] for row in rows]
    measured = measured_answers(out_of_fold.logits, truth, examples.fold[rows], speakers)
    scaled = out_of_fold.logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares = weights / weights.sum(axis=1, keepdims=True)
    record = conformal_record(shares, truth, speakers, measured.get("score", "lac"))
    return _Reliance(record, {"answers": measured} if measured else {})


def _scored_holdout(examples: Examples, partition: Partition) -> NDArray[np.bool_]:
    """(clips,) of the holdout whose emotion is known: some may have a valence alone."""
    return np.asarray(partition.test & (examples.emotion >= 0))


class _Scored(NamedTuple):
    """One system's predictions, and what is known of their clips."""

    examples: Examples
    partition: Partition
    """Of the served view."""
    out_of_fold: Posteriors
    final: Posteriors
    """Of the served view's model."""
    emotions: tuple[str, ...]


def _label_shift(scored: _Scored, config: LabelShiftConfig) -> dict[str, Any]:
    """Priors of the unlabelled clips and of the holdout, each with and without correction."""
    from mer.evaluation.calibration import fit_temperature
    from mer.label_shift.clip_sets import CalibrationClips, TargetClips
    from mer.label_shift.scored import shift_summary

    examples, out_of_fold = scored.examples, scored.out_of_fold
    position = {clip_id: row for row, clip_id in enumerate(examples.clip_ids)}
    rows = np.array([position[clip_id] for clip_id in out_of_fold.clip_ids], dtype=np.int64)
    truth = examples.emotion[rows]
    temperature = fit_temperature(out_of_fold.logits, truth)
    calibration = CalibrationClips(
        out_of_fold.logits / temperature, tuple(examples.speaker[row] for row in rows), truth
    )
    summaries = {}
    for name, mask in (
        ("unlabelled", scored.partition.unlabelled),
        ("holdout", _scored_holdout(examples, scored.partition)),
    ):
        target_rows = np.flatnonzero(mask)
        target = TargetClips(
            scored.final.restricted([examples.clip_ids[row] for row in target_rows]).logits / temperature,
            tuple(examples.speaker[row] for row in target_rows),
        )
        known = examples.emotion[target_rows] if name == "holdout" else None
        summaries[name] = shift_summary(calibration, target, scored.emotions, config, known)
    return summaries
