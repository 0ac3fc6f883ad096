"""Where the training set of what is served lies, so that a prediction can tell what is unlike it."""

from __future__ import annotations

from flows.experiment import Experiment
from flows.features import extract_frames
from infra.artifacts import ArtifactRef
from mer.recipes import Recipe
from mer.recipes.systems import served_choices
from mer.stream_tables import Level
from tasks.serve.domain import training_domain

_PREFERRED: tuple[Level, ...] = ("utterance", "states", "frames")
"""Levels that a domain may be measured at, the better ones first; a prediction reads what is measured."""


def find_domain(experiment: Experiment) -> ArtifactRef:
    """The domain of the served view; it is measured in vectors, or in what the served system reads where it reads no vectors."""
    read = _read(experiment.recipe)
    if "frames" in read:
        experiment = extract_frames(experiment)
    views = {view.name: experiment.inputs(view) for view in experiment.views}
    return training_domain(experiment.dataset, views, read[0], read)


def _read(recipe: Recipe) -> tuple[Level, ...]:
    """Levels that the served system reads, the one to measure the domain at first."""
    levels = {level for choice in served_choices(recipe) for level in choice.levels}
    return tuple(level for level in _PREFERRED if level in levels) or ("utterance",)
