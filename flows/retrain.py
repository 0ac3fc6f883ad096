"""Retraining, the main flow: clips in, a served model out, which is never worse than the one before.

ingest -> features -> layer study -> PEFT -> alignment -> fusion -> pseudo-labels -> evaluation -> registration -> promotion.
Every stage is found again by its key; new clips cost work in proportion to themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from prefect.runtime import flow_run

from flows.asking import ask_for_approval
from flows.domain import find_domain
from flows.drift_table import show_drift
from flows.experiment import Experiment
from flows.features import extract_streams
from flows.ingest import ingest_corpus
from flows.noteworthy import drift_looked_at, gate_decided
from flows.options import RetrainOptions
from flows.pipeline_flow import pipeline_flow
from flows.pretrain import pretrain_views
from flows.progress import EVALUATION, REGISTRATION, begin_stage, plan_stages
from flows.report import keep_figures, report_of_run, show_report_path
from flows.reporting import show_promotion, show_refit, show_remarks, show_tracked_run
from flows.result_table import show_systems
from flows.self_training import refresh_pseudo_labels
from flows.terminal import console
from flows.train import train_systems
from flows.workers.device_time import device_time_tracked
from infra.catalogue.actor import acting_as
from mer.recipes import Recipe
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import training_remarks
from tasks.serve.drift import DriftRequest, drift_of
from tasks.serve.evaluation import evaluate, read_report
from tasks.serve.library import model_of_corpus
from tasks.serve.new_labels import new_labels
from tasks.serve.promotion import RegisteredAs, gate_and_promote, register, require_same_classes
from tasks.serve.refit import plan_refit
from tasks.stage.exclusive import exclusively
from tasks.stage.references import DatasetRef, ModelVersion, Promotion
from tasks.stage.tracking import close_tracked_run, tracked
from tasks.stage.workspace import workspace


@dataclass(frozen=True)
class RetrainReport:
    """What a retraining run ended with."""

    model: ModelVersion
    promotion: Promotion | None
    served: str
    headline: dict[str, float]
    refit: tuple[str, ...] = ()
    """Why models were or were not fitted again; empty where that was not asked."""


@pipeline_flow("retrain")
def retrain(options: RetrainOptions) -> RetrainReport | None:
    """From a corpus folder to a registered version and, if the gate lets it, a new champion."""
    return retrained(options)


def retrained(options: RetrainOptions) -> RetrainReport | None:
    """All stages in their order, under one tracked run; one at a time for a model. None: drift does not call for it."""
    recipe = options.load_recipe()
    recipe.require_vectors()
    plan_stages(recipe, REGISTRATION)
    parent_run = f"retrain {flow_run.name or recipe.name}"
    model = options.model or model_of_corpus(
        options.catalogue_name(options.corpus) if options.corpus else "", recipe.name
    )
    require_same_classes(model, recipe.emotions)
    with (
        exclusively(f"retrain/{model}") as fencing_token,
        tracked(parent_run),
        device_time_tracked(parent_run),
    ):
        dataset, _ = ingest_corpus(recipe, options)
        show_remarks(training_remarks(dataset, recipe.gate.min_clips))
        if not _called_for(options, recipe, model, dataset):
            return None
        waits = (
            options.refit == "grown" and options.on_drift != "start"
        )  # what drift called for does not wait
        refit = plan_refit.submit(model, recipe, dataset, waits).result()
        show_refit(refit)
        if not refit.fits:  # what is new waits with its features
            extract_streams(Experiment(recipe, dataset, parent_run))
        dataset = refit.dataset
        experiment = extract_streams(Experiment(recipe, dataset, parent_run, aligned_on=refit.aligned_on))
        experiment = pretrain_views(experiment)
        supervised = train_systems(experiment)
        fused, served = refresh_pseudo_labels(experiment, supervised)
        view = experiment.served_view
        begin_stage(EVALUATION)
        evaluation = evaluate(view, fused, served, recipe.label_shift)
        keep_figures(experiment, fused, served, evaluation)
        final = next(item for item in fused if item.view == FINAL_VIEW and item.system == served)
        domain = find_domain(experiment)
        registered = RegisteredAs(model, experiment.recipe, refit.origin)
        begin_stage(REGISTRATION)
        version = register(view, registered, experiment.inputs(view), final, evaluation, domain)
        page = close_tracked_run(view, experiment.recipe, evaluation, refit.tags, refit.nothing)
        promotion = None
        if options.promote:
            with acting_as(f"the gate, run {parent_run}"):
                promotion = gate_and_promote(
                    dataset, options.gate(recipe), version, evaluation, fencing_token
                )
        report = report_of_run(version, parent_run if page is not None else None)
    show_systems(read_report(evaluation), dataset)
    show_promotion(version, promotion)
    gate_decided(version, promotion)
    ask_for_approval(version, promotion)
    show_tracked_run(page)
    show_report_path(report)
    return RetrainReport(version, promotion, served, dict(version.metrics), refit.lines)


def _called_for(options: RetrainOptions, recipe: Recipe, model: str, dataset: DatasetRef) -> bool:
    """Whether to train: by drift of what is new since the champion, or by new labels; always without a look or a champion."""
    from mer.drift.verdict import retraining_called_for

    space = workspace()
    if not options.on_drift or (champion := space.catalogue.champion(model)) is None:
        return True
    request = DriftRequest(model, corpus=dataset.corpus, config=recipe.drift, policy=options.on_drift)
    found = drift_of.submit(request).result()
    show_drift(found)
    drift_looked_at(found)
    labels = new_labels(space, dataset.membership, champion)
    goes_on, why = retraining_called_for(options.on_drift, found.action, labels, recipe.drift)
    console.print(why, markup=False)
    return goes_on
