"""What a study has tried, kept for the reports of versions that are trained on the same corpus by the same recipe."""

from __future__ import annotations

import hashlib
import json
from statistics import fmean
from typing import TYPE_CHECKING, Any

from infra.artifacts import ArtifactRef
from infra.studies import DEFAULTS, finished_trials
from mer.recipes import Recipe
from tasks.stage.references import DatasetRef
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

KIND, FILE = "study", "study.json"
_FEWEST = 4
"""Trials that tell which options matter."""


def keep_study(
    space: Workspace, study: Study, dataset: DatasetRef, recipe: Recipe, found: tuple[FrozenTrial, Recipe]
) -> ArtifactRef:
    """Keep the finished trials of a study as they are now, under the hash of what is kept.

    Args:
        space: where.
        study: any state of it.
        dataset: what it searched on.
        recipe: what it searched around; reports of versions of a recipe of this name show it.
        found: the trial that is believed to be the best, and the recipe that its options stand for.
    """
    best, best_recipe = found
    trials = sorted(finished_trials(study), key=lambda trial: trial.number)
    record: dict[str, Any] = {
        "study": study.study_name,
        "membership": dataset.membership,
        "finished": len(trials),
        "trials": [_trial(study, trial) for trial in trials],
        "best": [trial.number for trial in trials].index(best.number),
        "importance": importances(study),
        "best_recipe": best_recipe.model_dump(mode="json"),
    }
    data = json.dumps(record, indent=1).encode()
    meta = {"study": study.study_name, "corpus": dataset.corpus, "recipe": recipe.name}
    key = hashlib.sha256(data + json.dumps(meta).encode()).hexdigest()
    ref = space.artifacts.commit(KIND, key, {FILE: data}, meta=meta)
    space.catalogue.record_artifact(ref, stage=KIND, code_version="")
    return ref


def _trial(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    again = study.user_attrs.get(f"again {trial.number}", ())
    return {
        "number": trial.number,
        "waf": float(trial.value or 0.0),
        "ended": trial.state.name == "COMPLETE",
        "again": fmean(again) if again else None,
        "recipe_itself": bool(trial.user_attrs.get(DEFAULTS)),
        "options": {name: str(value) for name, value in sorted(trial.params.items())},
    }


def importances(study: Study) -> dict[str, float]:
    """Option -> share of the variance between trials that it explains (fANOVA); empty where there are too few trials to tell."""
    from optuna.importance import get_param_importances
    from optuna.trial import TrialState

    values = [trial.value for trial in finished_trials(study) if trial.state == TrialState.COMPLETE]
    if len(values) < _FEWEST or len(set(values)) == 1:
        return {}
    return {name: float(share) for name, share in get_param_importances(study).items()}


def newest_records(space: Workspace) -> list[ArtifactRef]:
    """The newest record of every study, the newest study first."""
    newest: dict[str, ArtifactRef] = {}
    for record in reversed(space.catalogue.artifacts(KIND)):
        newest.setdefault(str(record.ref.meta.get("study")), record.ref)
    return list(newest.values())


def kept_studies(space: Workspace, corpus: str, recipe: str) -> list[ArtifactRef]:
    """Of the newest records those of a recipe of this name on a corpus."""
    return [
        ref
        for ref in newest_records(space)
        if (ref.meta.get("corpus"), ref.meta.get("recipe")) == (corpus, recipe)
    ]
