"""Self-training (system B): unlabelled clips -> vote -> pseudo-labels -> retrain -> true labels decide -> a generation.

Each outer fold votes with its own models, so no test label reaches a pseudo-label. Generations add up: a refresh votes on the
clips that no generation has considered, and a round is kept only if it helps on the validation speakers' true labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flows.experiment import Experiment
from flows.progress import PSEUDO_LABELS, begin_stage
from flows.reporting import show_generation, show_selection, show_verdict
from flows.terminal import console
from flows.train import PSEUDO, served_system, train_with_pseudo_labels
from mer.recipes import Recipe
from mer.selftraining.config import SelfTrainingConfig
from mer.training.partition import FINAL_VIEW
from tasks.selftrain.guards import check_selection, read_findings, watch_canary
from tasks.selftrain.pseudo_labels import judge, record_generation, select_view, standing_generations
from tasks.selftrain.rounds import Round
from tasks.stage.references import FusedView, Standing


def refresh_pseudo_labels(
    experiment: Experiment, supervised: Sequence[FusedView]
) -> tuple[list[FusedView], str]:
    """Rounds of vote, training and verdict on the clips that are new; returns all systems, and the name of the one to serve.

    What would be served leads the vote, the fusion or the ensemble; every single stream votes with it.
    """
    recipe = experiment.recipe
    served = served_system(recipe)
    if recipe.pseudo_labels is None:
        return list(supervised), served
    begin_stage(PSEUDO_LABELS)
    if experiment.dataset.unlabelled == 0:
        console.print("  no unlabelled clip to learn from")
        return list(supervised), served
    standing = standing_generations(experiment.dataset, recipe.name)
    systems, leaders = list(supervised), _of(supervised, served)
    if standing.taught:
        taught = train_with_pseudo_labels(experiment, supervised, standing.live)
        systems, served = [*systems, *taught], served + PSEUDO
        leaders = _of(taught, served)
    gold = _of(supervised, served_system(recipe))[FINAL_VIEW]
    watched = [gold] if gold == leaders[FINAL_VIEW] else [gold, leaders[FINAL_VIEW]]
    refresh = Refresh(experiment, recipe.pseudo_labels, supervised, standing, watched)
    best: Round | None = None
    last: Round | None = None
    for number in range(1, recipe.pseudo_labels.rounds + 1):
        last = self_train(refresh, number, leaders)
        if last is None or last.state != "live":
            break
        best, leaders = last, _of(last.systems, served_system(recipe) + PSEUDO)
    ended = best or last
    if best is not None and last is not None and last.state != "live":
        ended = replace(best, reason=f"{best.reason}; {last.reason} ({last.state})")
    if ended is None:
        show_generation(None, standing)
        return systems, served
    row = record_generation(experiment.served_view, recipe.name, recipe.pseudo_labels, ended, standing)
    show_generation(row, standing)
    if best is not None:
        return [*supervised, *best.systems], served_system(recipe) + PSEUDO
    if not standing.taught:  # what was tried is reported beside what is served
        systems += ended.systems
    return systems, served


@dataclass(frozen=True)
class Refresh:
    """What all rounds of a refresh share."""

    experiment: Experiment
    config: SelfTrainingConfig
    supervised: Sequence[FusedView]
    standing: Standing
    watched: Sequence[FusedView]
    """The served view's models that the canary is compared with."""


def self_train(refresh: Refresh, number: int, leaders: Mapping[str, FusedView]) -> Round | None:
    """One round: all views vote, guards look at the labels, the views learn from them, true labels compare both.

    Args:
        refresh: what the rounds share.
        number: of the round, from 1.
        leaders: view -> the model that leads its vote.

    Returns:
        None where there is nothing to learn from.
    """
    experiment, config, standing = refresh.experiment, refresh.config, refresh.standing
    recipe, final = experiment.recipe, experiment.served_view
    voters = {
        view: [leader, *_single_streams(refresh.supervised, recipe, view)] for view, leader in leaders.items()
    }
    ballots = {
        view: select_view.submit(
            experiment.view(view),
            experiment.inputs(experiment.view(view)),
            config,
            view_voters,
            standing,
        )
        for view, view_voters in voters.items()
    }
    selected = {view: ballot.result() for view, ballot in ballots.items()}
    if not int(selected[FINAL_VIEW].meta["selected"]):
        return None
    checks = check_selection(
        final, experiment.inputs(final), config, leaders[FINAL_VIEW], selected[FINAL_VIEW], standing
    )
    labelled = Round(
        number=number, selected=selected, voters=voters[FINAL_VIEW], findings=read_findings(checks)
    )
    show_selection(number, selected, labelled.findings)
    if (stop := checks.meta["stop"]) is not None:
        return replace(labelled, state="stopped", reason=f"round {number}, before training: {stop}")
    pseudo = {view: (*standing.live[view], result.ref) for view, result in selected.items()}
    systems = train_with_pseudo_labels(experiment, refresh.supervised, pseudo)
    after = _of(systems, served_system(recipe) + PSEUDO)
    canary = watch_canary(final, config, refresh.watched, after[FINAL_VIEW])
    verdict = judge(final, config, recipe.seed, list(leaders.values()), list(after.values()))
    state, reason = ("live" if verdict.meta["kept"] else "rejected"), verdict.meta["reason"]
    if (stop := canary.meta["stop"]) is not None:
        state, reason = "stopped", stop
    trained = replace(
        labelled,
        findings=[*labelled.findings, *read_findings(canary)],
        systems=systems,
        state=state,
        reason=f"round {number}: {reason}",
    )
    show_verdict(trained.state, trained.reason, read_findings(canary))
    return trained


def _of(systems: Sequence[FusedView], name: str) -> dict[str, FusedView]:
    """A system's models by view."""
    return {item.view: item for item in systems if item.system == name}


def _single_streams(supervised: Sequence[FusedView], recipe: Recipe, view: str) -> list[FusedView]:
    """The supervised models of single streams: they stay supervised, so that not everyone who votes learns from the votes."""
    return [item for item in supervised if item.view == view and item.system in recipe.reads]
