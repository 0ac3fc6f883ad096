"""Pseudo-label refresh: confident predictions on unlabelled clips become a generation that can be traced.

A generation can be withdrawn in the catalogue; a later refresh on the same clips would still train on the same selection.
"""

from __future__ import annotations

import json

import numpy as np
from prefect import task

from mer.recipes import Recipe
from mer.training.partition import FINAL_VIEW
from tasks.dataset import load_view
from tasks.fusion import load_posteriors
from tasks.references import DatasetRef, FusedView
from tasks.stage import Produced, StageResult, StageRun, run_stage
from tasks.workspace import workspace

SELECTION_CODE = ("mer.selftraining", "mer.ensemble")


@task(name="select pseudo-labels", task_run_name="select pseudo-labels {view}")
def select_view(
    dataset: DatasetRef, recipe: Recipe, fused: FusedView, view: str, parent_run: str | None
) -> StageResult:
    """Choose the unlabelled clips of a view on which its own model is confident enough; meta: count per class."""
    config = recipe.pseudo_labels
    if config is None:
        raise ValueError(f"recipe {recipe.name} has no pseudo-labels")
    space = workspace()
    examples, partition = load_view(space, dataset, recipe, view)

    def produce(run: StageRun) -> Produced:
        from mer.selftraining.selection import select_pseudo_labels

        excluded = {examples.clip_ids[i] for i in np.flatnonzero(~partition.unlabelled)}
        posteriors = load_posteriors(run.space, fused.posteriors)
        chosen = select_pseudo_labels(posteriors, recipe.emotions, config, excluded)
        return Produced(
            files={"pseudo_labels.parquet": chosen.to_parquet()},
            meta={"selected": len(chosen.clip_ids), "counts": json.dumps(chosen.counts)},
            metrics={f"selected_{name}": float(count) for name, count in chosen.counts.items()},
        )

    return run_stage(
        "pseudo-labels",
        inputs={"posteriors": fused.posteriors.sha256, "view": partition.digest(examples, unlabelled=True)},
        config={"selection": config.model_dump(mode="json")},
        code=SELECTION_CODE,
        produce=produce,
        label=f"select pseudo-labels {view}",
        parent_run=parent_run,
    )


@task(name="record generation")
def record_generation(dataset: DatasetRef, recipe: Recipe, fused: FusedView, selected: StageResult) -> str:
    """Write the served view's pseudo-labels to the catalogue as one generation, once per key; returns the key."""
    from mer.selftraining.selection import PseudoLabels

    if fused.view != FINAL_VIEW or recipe.pseudo_labels is None:
        raise ValueError("only the final view's pseudo-labels make a generation")
    space = workspace()
    chosen = PseudoLabels.from_parquet(space.artifacts.read(selected.ref, "pseudo_labels.parquet"))
    space.catalogue.add_generation(
        selected.ref.key,
        corpus=dataset.corpus,
        artifact=selected.ref,
        policy={
            "selection": recipe.pseudo_labels.model_dump(mode="json"),
            "voters": [fused.model.key],
            "membership": dataset.membership,
        },
        counts=dict(chosen.counts),
        rows=[
            (clip_id, recipe.emotions[int(emotion)], float(confidence), float(valence))
            for clip_id, emotion, confidence, valence in zip(
                chosen.clip_ids, chosen.emotion, chosen.confidence, chosen.valence, strict=True
            )
        ],
    )
    return selected.ref.key
