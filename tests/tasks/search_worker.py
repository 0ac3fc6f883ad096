"""A search worker in a process of its own: real trials over made clips, in the study that the environment names.

python search_worker.py STUDY PLANNED BATCH [EPOCHS [SAMPLER]]
"""

from __future__ import annotations

import sys
import warnings
from contextlib import nullcontext

import numpy as np
import torch

from infra.settings import load_settings
from infra.studies import Halving, Heartbeats, Sampler, open_study
from mer.examples import Examples
from mer.features.dataset import FeatureTable
from mer.fusion.config import FusionConfig
from mer.recipes.loading import parse_recipe
from mer.recipes.recipe import Recipe
from mer.search.candidates import SearchView, search_view
from mer.search.space import search_space
from mer.training.partition import Partition
from tasks.learn.search import SearchPlan, run_trials

RECIPE = """
name: worker
lexical: {features: {modality: lexical, source: "wheel:all-minilm-l6-v2", pooling: mean}}
"""


def views(asked: Recipe) -> tuple[SearchView, ...]:
    """Two folds of clips with class signal."""
    generator = np.random.default_rng(0)
    emotion = generator.integers(0, 6, 200)
    values = (generator.normal(0, 1, (200, 16)) + np.eye(6, 16)[emotion]).astype(np.float32)
    clips = tuple(f"c{row}" for row in range(200))
    examples = Examples(
        clips, emotion, np.zeros(200, np.float32), (None,) * 200, np.arange(200) % 4, np.ones(200, np.float32)
    )
    nobody, table = np.zeros(200, bool), FeatureTable(clips, values, np.ones(200, bool))
    held = [examples.fold == k for k in range(2)]
    parts = [Partition(f"fold{k}", ~own, own, nobody, nobody, nobody) for k, own in enumerate(held)]
    return tuple(search_view(examples, part, {"lexical": table}, 6) for part in parts)


def main() -> None:
    """Work until the study is complete."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    name, planned, batch, *more = sys.argv[1:]
    fusion = FusionConfig(epochs=int(more[0]) if more else 4, patience=0)
    recipe = parse_recipe(RECIPE, origin="worker").model_copy(update={"fusion": fusion})
    study = open_study(load_settings(), name, heartbeats=Heartbeats(1, 3), halving=Halving(2))
    sampler: Sampler = more[1] if len(more) > 1 else "tpe"  # type: ignore[assignment]
    plan = SearchPlan(study=name, trials=int(planned), batch=int(batch), first_rung=2, sampler=sampler)

    def turn() -> nullcontext[None]:
        sys.stdout.write("training\n")
        sys.stdout.flush()
        return nullcontext()

    space = search_space(recipe, ("attention", "attention_softmax", "concat"), states={}, valence=False)
    run_trials(study, plan, space, views, turn)


if __name__ == "__main__":
    main()
