"""Self-training (system B): unlabelled clips -> vote -> pseudo-labels -> retrain -> true labels decide -> a generation.

Each outer fold votes with its own models, so no test label reaches a pseudo-label. Generations add up: a refresh votes on the
clips that no generation has considered, and a round is kept only if it helps on the validation speakers' true labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flows.reporting import show_generation, show_selection, show_verdict
from flows.train import PSEUDO, served_system, train_with_pseudo_labels
from mer.recipes import Recipe
from mer.training.partition import FINAL_VIEW
from tasks.selftrain.guards import check_selection, read_findings, watch_canary
from tasks.selftrain.pseudo_labels import judge, record_generation, select_view, standing_generations
from tasks.stage.references import DatasetRef, FeatureSetRef, FusedView, Standing, ViewSpaces
from tasks.stage.run import StageResult


@dataclass(frozen=True)
class Round:
    """One round's labels and what true labels say of the models they trained."""

    number: int
    selected: Mapping[str, StageResult]
    voters: Sequence[FusedView]
    """Of the served view."""
    findings: Sequence[Mapping[str, Any]]
    """What the guards measured."""
    systems: Sequence[FusedView] = ()
    state: str = "rejected"
    reason: str = ""


def refresh_pseudo_labels(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    supervised: Sequence[FusedView],
    parent_run: str | None,
) -> tuple[list[FusedView], str]:
    """Rounds of vote, training and verdict on the clips that are new; returns all systems, and the name of the one to serve.

    What would be served leads the vote, the fusion or the ensemble; every single stream votes with it.
    """
    served = served_system(recipe)
    if recipe.pseudo_labels is None or dataset.unlabelled == 0:
        return list(supervised), served
    standing = standing_generations(dataset, recipe)
    systems, leaders = list(supervised), _of(supervised, served)
    if standing.taught:
        taught = train_with_pseudo_labels(
            dataset, recipe, features, spaces, supervised, standing.live, parent_run
        )
        systems, served = [*systems, *taught], served + PSEUDO
        leaders = _of(taught, served)
    gold = _of(supervised, served_system(recipe))[FINAL_VIEW]
    watched = [gold] if gold == leaders[FINAL_VIEW] else [gold, leaders[FINAL_VIEW]]
    best: Round | None = None
    last: Round | None = None
    for number in range(1, recipe.pseudo_labels.rounds + 1):
        last = self_train(
            number, dataset, recipe, features, spaces, supervised, leaders, standing, watched, parent_run
        )
        if last is None or last.state != "live":
            break
        best, leaders = last, _of(last.systems, served_system(recipe) + PSEUDO)
    ended = best or last
    if best is not None and last is not None and last.state != "live":
        ended = replace(best, reason=f"{best.reason}; {last.reason} ({last.state})")
    if ended is None:
        show_generation(None, standing)
        return systems, served
    row = record_generation(
        dataset, recipe, ended.voters, ended.selected, standing, ended.number, ended.state, ended.reason, ended.findings
    )  # fmt: skip
    show_generation(row, standing)
    if best is not None:
        return [*supervised, *best.systems], served_system(recipe) + PSEUDO
    if not standing.taught:  # what was tried is reported beside what is served
        systems += ended.systems
    return systems, served


def self_train(
    number: int,
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    supervised: Sequence[FusedView],
    leaders: Mapping[str, FusedView],
    standing: Standing,
    watched: Sequence[FusedView],
    parent_run: str | None,
) -> Round | None:
    """One round: all views vote, guards look at the labels, the views learn from them, true labels compare both.

    `watched` are the served view's models that the canary is compared with. None: there is nothing to learn from.
    """
    voters = {view: [leader, *_single_streams(supervised, recipe, view)] for view, leader in leaders.items()}
    ballots = {
        view: select_view.submit(dataset, recipe, view_voters, view, standing, parent_run)
        for view, view_voters in voters.items()
    }
    selected = {view: ballot.result() for view, ballot in ballots.items()}
    if not int(selected[FINAL_VIEW].meta["selected"]):
        return None
    leader = leaders[FINAL_VIEW]
    checks = check_selection(
        dataset, recipe, features, spaces[FINAL_VIEW], leader, selected[FINAL_VIEW], standing, parent_run
    )
    labelled = Round(
        number=number, selected=selected, voters=voters[FINAL_VIEW], findings=read_findings(checks)
    )
    show_selection(number, selected, labelled.findings)
    if (stop := checks.meta["stop"]) is not None:
        return replace(labelled, state="stopped", reason=f"round {number}, before training: {stop}")
    pseudo = {view: (*standing.live[view], result.ref) for view, result in selected.items()}
    systems = train_with_pseudo_labels(dataset, recipe, features, spaces, supervised, pseudo, parent_run)
    after = _of(systems, served_system(recipe) + PSEUDO)
    canary = watch_canary(dataset, recipe, watched, after[FINAL_VIEW], parent_run)
    verdict = judge(dataset, recipe, list(leaders.values()), list(after.values()), parent_run)
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
