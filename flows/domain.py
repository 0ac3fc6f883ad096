"""Where the training set of what is served lies, so that a prediction can tell what is unlike it."""

from __future__ import annotations

from flows.experiment import Experiment
from flows.features import extract_frames
from infra.artifacts import ArtifactRef
from tasks.serve.domain import training_domain


def find_domain(experiment: Experiment) -> ArtifactRef:
    """The domain of the served view; it is measured in vectors, or in frames where the served fusions read nothing else."""
    recipe = experiment.recipe
    fusions = tuple(recipe.member_fusions.values()) if recipe.serves_ensemble else (recipe.fusion,)
    framewise = all(fusion.level == "frames" for fusion in fusions)
    if framewise:
        experiment = extract_frames(experiment)
    views = {view.name: experiment.inputs(view) for view in experiment.views}
    return training_domain(experiment.dataset, views, "frames" if framewise else "utterance")
