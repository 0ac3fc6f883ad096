"""Self-training (system B): unlabelled clips -> vote -> pseudo-labels -> retrain -> true labels decide -> a generation.

Each view votes with its own models and decides by its own held-out speakers whether it learns from the round, so no test label
reaches a pseudo-label or a decision of an outer fold. Generations add up: a refresh votes on the clips that no generation has
considered. The decision of the served view is the generation's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flows.experiment import Experiment
from flows.judged import Judged, asked_of, leads_whole, supervised_views, teach
from flows.progress import PSEUDO_LABELS, begin_stage
from flows.reporting import show_generation, show_selection, show_verdict
from flows.terminal import console
from flows.train import PSEUDO, train_with_pseudo_labels
from mer.recipes.systems import served_name
from mer.selftraining.config import SelfTrainingConfig
from mer.training.partition import FINAL_VIEW
from tasks.selftrain.guards import check_selection, read_findings, watch_canary
from tasks.selftrain.pseudo_labels import judge, record_generation, select_view, standing_generations
from tasks.selftrain.rounds import JudgedPair, Round
from tasks.stage.references import FusedView, Standing
from tasks.stage.run import StageResult


def refresh_pseudo_labels(
    experiment: Experiment, supervised: Sequence[FusedView]
) -> tuple[list[FusedView], str]:
    """Rounds of vote, training and verdict on the clips that are new; returns all systems, and the name of the one to serve.

    What would be served leads the vote; every system that is compared with it (a modality's, a stream's) votes with it.
    """
    recipe = experiment.recipe
    served = served_name(recipe)
    if recipe.pseudo_labels is None:
        return list(supervised), served
    begin_stage(PSEUDO_LABELS)
    if experiment.dataset.unlabelled == 0:
        console.print("  no unlabelled clip to learn from")
        return list(supervised), served
    standing = standing_generations(experiment.dataset, recipe.name)
    systems = list(supervised)
    gold = supervised_views(experiment, supervised)
    judged = gold
    if standing.taught:
        labels = {label: standing.live[one.view.name] for label, one in gold.items()}
        taught = teach(experiment, supervised, gold, labels)
        judged = {
            label: replace(one, leader=taught.leaders.get(label, one.leader)) for label, one in gold.items()
        }
        live = {view: refs for view, refs in standing.live.items() if refs}
        standing_systems = (
            train_with_pseudo_labels(experiment, supervised, live) if leads_whole(recipe) else taught.systems
        )
        systems += _for_all_views(experiment, supervised, standing_systems)
        served += PSEUDO
    watched = [gold[FINAL_VIEW].leader]
    watched += [leader for leader in (judged[FINAL_VIEW].leader,) if leader not in watched]
    refresh = Refresh(experiment, recipe.pseudo_labels, supervised, standing, watched)
    rounds = run_rounds(refresh, judged)
    if rounds.ended is None:
        show_generation(None, standing)
        return systems, served
    row = record_generation(experiment.served_view, recipe.name, recipe.pseudo_labels, rounds.ended, standing)
    show_generation(row, standing)
    if rounds.ended.state == "live":
        return [*supervised, *_served_of(refresh, rounds)], served_name(recipe) + PSEUDO
    if not (
        standing.taught or leads_whole(recipe)
    ):  # what was tried is reported beside what it would replace
        systems += rounds.ended.systems
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


@dataclass(frozen=True)
class Rounds:
    """How the rounds of a refresh ended."""

    ended: Round | None
    """The last round whose labels the served view keeps, or the one that it does not; None: nothing was voted for."""
    kept: Mapping[str, StageResult]
    """View -> the selection that it learns from in the end."""
    taught: Sequence[FusedView]
    """Systems of the views that keep their labels, as they were compared."""


def run_rounds(refresh: Refresh, judged: Judged) -> Rounds:
    """Rounds until the served view does not keep one; a view that does not keep one takes part in no further round."""
    kept: dict[str, StageResult] = {}
    taught: dict[str, list[FusedView]] = {}
    best: Round | None = None
    last: Round | None = None
    for number in range(1, refresh.config.rounds + 1):
        last, leaders = self_train(refresh, number, judged)
        if last is None or last.state != "live":
            break
        best = last
        kept |= last.selected
        for view in last.selected:
            taught[view] = [one for one in last.systems if one.view == view]
        judged = {
            label: replace(one, leader=leaders[label])
            for label, one in judged.items()
            if one.view.name in last.selected
        }
    ended = best or last
    if best is not None and last is not None and last.state != "live":
        ended = replace(best, reason=f"{best.reason}; {last.reason} ({last.state})")
    if best is not None and ended is not None:
        ended = replace(ended, selected=dict(kept))
    return Rounds(ended, kept, [one for systems in taught.values() for one in systems])


def self_train(refresh: Refresh, number: int, judged: Judged) -> tuple[Round | None, Mapping[str, FusedView]]:
    """One round: all views vote, guards look at the labels, the views learn from them, each view's true labels compare both.

    Args:
        refresh: what the rounds share.
        number: of the round, from 1.
        judged: the views that take part, with the models of before.

    Returns:
        The round and the models that it taught, by label; no round where there is nothing to learn from. A live round's
        selections are those of the views that keep theirs.
    """
    experiment, config, standing = refresh.experiment, refresh.config, refresh.standing
    final = experiment.served_view
    ballots = {
        label: select_view.submit(
            one.view, experiment.inputs(one.view), config, one.voters, standing, asked_of(judged, one)
        )
        for label, one in judged.items()
    }
    selections = {label: ballot.result() for label, ballot in ballots.items()}
    selected = {one.view.name: selections[label] for label, one in judged.items() if one.view.part is None}
    if not int(selected[FINAL_VIEW].meta["selected"]):
        return None, {}
    before = judged[FINAL_VIEW]
    checks = check_selection(
        final,
        experiment.inputs(final),
        config,
        selected[FINAL_VIEW],
        standing,
        asked_of(judged, before),
    )
    labelled = Round(number=number, selected=selected, voters=before.voters, findings=read_findings(checks))
    show_selection(number, selected, labelled.findings)
    if (stop := checks.meta["stop"]) is not None:
        return replace(labelled, state="stopped", reason=f"round {number}, before training: {stop}"), {}
    labels = {label: (*standing.live[one.view.name], selections[label].ref) for label, one in judged.items()}
    taught = teach(experiment, refresh.supervised, judged, labels)
    leaders = taught.leaders
    canary = watch_canary(final, config, refresh.watched, leaders[FINAL_VIEW])
    verdicts = _verdicts(refresh, judged, leaders)
    state, reason = (
        ("live" if verdicts[FINAL_VIEW].meta["kept"] else "rejected"),
        verdicts[FINAL_VIEW].meta["reason"],
    )
    if (stop := canary.meta["stop"]) is not None:
        state, reason = "stopped", stop
    if state == "live":
        selected = {view: result for view, result in selected.items() if verdicts[view].meta["kept"]}
    trained = replace(
        labelled,
        selected=selected,
        findings=[*labelled.findings, *read_findings(canary)],
        systems=taught.systems,
        state=state,
        reason=f"round {number}: {reason}",
    )
    show_verdict(trained.state, trained.reason, read_findings(canary), verdicts)
    return trained, leaders


def _verdicts(refresh: Refresh, judged: Judged, leaders: Mapping[str, FusedView]) -> dict[str, StageResult]:
    """View -> what its own held-out speakers say, over its parts where it has some."""
    seed, config = refresh.experiment.recipe.seed, refresh.config
    running = {}
    for name, view in ((one.view.name, one.view) for one in judged.values() if one.view.part is None):
        of_view = {label: one for label, one in judged.items() if one.view.name == name}
        parts = {label: one for label, one in of_view.items() if one.view.part is not None} or of_view
        pairs = [JudgedPair(one.view, one.leader, leaders[label]) for label, one in parts.items()]
        running[name] = judge.submit(view, config, seed, pairs)
    return {name: verdict.result() for name, verdict in running.items()}


def _served_of(refresh: Refresh, rounds: Rounds) -> list[FusedView]:
    """What is served, in every view: taught where the view keeps its labels, as it was before where not."""
    experiment, live = refresh.experiment, refresh.standing.live
    taught = list(rounds.taught)
    if leads_whole(experiment.recipe):  # what was compared held speakers out
        labels = {view: (*live[view], result.ref) for view, result in rounds.kept.items()}
        taught = train_with_pseudo_labels(experiment, refresh.supervised, labels)
    done = {one.view for one in taught}
    before = {view: labels for view, labels in live.items() if labels and view not in done}
    if before:
        taught += train_with_pseudo_labels(experiment, refresh.supervised, before)
    return _for_all_views(experiment, refresh.supervised, taught)


def _for_all_views(
    experiment: Experiment, supervised: Sequence[FusedView], taught: Sequence[FusedView]
) -> list[FusedView]:
    """Systems that learnt from pseudo-labels, completed by the supervised ones of the views that learn from none."""
    done = {one.view for one in taught}
    names = {one.system.removesuffix(PSEUDO) for one in taught}
    return [
        *taught,
        *(
            replace(one, system=one.system + PSEUDO)
            for one in supervised
            if one.system in names and one.view not in done and one.view in experiment.dataset.views
        ),
    ]
