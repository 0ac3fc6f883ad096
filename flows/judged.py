"""Where self-training is judged: each view by its own held-out speakers, with models that have seen none of their labels.

Fusions hold a view's validation speakers out anyway. A searched system that is served learns from them too, so it is fitted once
more without them (and, where they are few, without each part of the labelled speakers): these models vote and are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect.futures import PrefectFuture

from flows.experiment import Experiment
from flows.train import PSEUDO, fused_in_turn, train_with_pseudo_labels
from infra.artifacts import ArtifactRef
from mer.recipes import Recipe
from mer.recipes.systems import ScoredSystem, compared_systems, leading_system, served_name
from tasks.data.dataset import judging_views
from tasks.learn.fusion import fuse_view
from tasks.selftrain.rounds import HeldOutVoters
from tasks.stage.references import FusedView, FusionJob, View


@dataclass(frozen=True)
class JudgedView:
    """A view, or a part of one, and the models that vote on its unlabelled clips and are compared on its held-out speakers.

    Where parts judge for a view, the view's own models are those that are served: they have learnt from all its speakers.
    """

    view: View
    leader: FusedView
    """What would be served, fitted without the held-out speakers."""
    others: tuple[FusedView, ...]
    """Supervised models of modalities or streams: they stay supervised, so that not everyone who votes learns from the votes."""
    whole: bool = False
    """The models have learnt from the validation speakers too: parts judge in their place."""

    @property
    def voters(self) -> tuple[FusedView, ...]:
        """The leader, then the others."""
        return (self.leader, *self.others)


Judged = Mapping[str, JudgedView]
"""Label of a view or part -> its models: of every view, whose selection is learnt from, and of parts that judge for it."""

Labels = Mapping[str, Sequence[ArtifactRef]]
"""Label of a view or part -> selections of pseudo-labels that it learns from."""


def supervised_views(experiment: Experiment, supervised: Sequence[FusedView]) -> Judged:
    """Every view with its supervised models, and its parts, where these judge.

    Args:
        experiment: whose views.
        supervised: all supervised systems; they are the models wherever they hold speakers out.
    """
    recipe = experiment.recipe
    others = tuple(one for one in compared_systems(recipe) if set(one.streams) <= set(recipe.reads))
    found = {(one.view, one.system): one for one in supervised}
    whole = leads_whole(recipe)
    judged: dict[str, JudgedView] = {}
    held_out: list[View] = []
    for view in experiment.views:
        judging = judging_views(view) if whole else (view,)
        if not whole or judging != (view,):
            leader, rest = (
                found[view.name, served_name(recipe)],
                [found[view.name, one.name] for one in others],
            )
            judged[view.label] = JudgedView(view, leader, tuple(rest), whole)
        held_out += judging if whole else ()
    if not held_out:
        return judged
    systems = (leading_system(recipe), *others)
    runs = [_fit(experiment, view, system) for view in held_out for system in systems]
    fitted = iter(fused_in_turn(runs))
    for view in held_out:
        leader, *rest = [next(fitted) for _ in systems]
        judged[view.label] = JudgedView(view, leader, tuple(rest))
    return judged


def asked_of(judged: Judged, one: JudgedView) -> list[HeldOutVoters]:
    """Who say how sure the voters of a view are, and how often they are right: see `select_view`."""
    if not one.whole:
        return [HeldOutVoters(one.view, one.voters)]
    parts = [
        part for part in judged.values() if part.view.name == one.view.name and part.view.part is not None
    ]
    return [HeldOutVoters(part.view, part.voters) for part in parts]


@dataclass(frozen=True)
class Taught:
    """Models that learnt from pseudo-labels; those that are judged, without the held-out speakers that judge them."""

    leaders: Mapping[str, FusedView]
    """Label of a view or part -> its leader."""
    systems: Sequence[FusedView]
    """The views' models, members of an ensemble among them."""


def teach(experiment: Experiment, supervised: Sequence[FusedView], judged: Judged, labels: Labels) -> Taught:
    """Train the leaders of views and parts with pseudo-labels.

    Args:
        experiment: whose views.
        supervised: all supervised systems.
        judged: the views and parts.
        labels: what each learns from; those without are left out.
    """
    recipe = experiment.recipe
    learning = {label: one.view for label, one in judged.items() if labels.get(label)}
    if not leads_whole(recipe):
        systems = train_with_pseudo_labels(
            experiment, supervised, {label: labels[label] for label in learning}
        )
        leading = served_name(recipe) + PSEUDO
        return Taught({one.view: one for one in systems if one.system == leading}, systems)
    runs = [
        _fit(experiment, view, leading_system(recipe), labels[label], judged[label].whole)
        for label, view in learning.items()
    ]
    leaders = dict(zip(learning, fused_in_turn(runs), strict=True))
    return Taught(leaders, [leader for label, leader in leaders.items() if learning[label].part is None])


def leads_whole(recipe: Recipe) -> bool:
    """Whether what is served learns from validation speakers too, so that others have to be fitted to be compared on them."""
    return recipe.serves_ensemble and recipe.searched_choice is not None


def _fit(
    experiment: Experiment,
    view: View,
    system: ScoredSystem,
    labels: Sequence[ArtifactRef] = (),
    whole: bool = False,
) -> PrefectFuture[FusedView]:
    recipe = experiment.recipe
    job = FusionJob(
        system.name + (PSEUDO if labels else ""),
        system.choice,
        pseudo=tuple(labels),
        self_training=recipe.pseudo_labels if labels else None,
        whole=whole,
    )
    return fuse_view.submit(view, experiment.inputs(view, system.streams), job)
