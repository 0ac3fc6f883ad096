"""Alignments as a command of their own: aligned per view, then studied on the speakers that view never saw.

The controls on shuffled pairs run here by default, so that no figure of an alignment is read without them; the flows that only
use an alignment (`retrain`, `train`) do not pay for them.
"""

from __future__ import annotations

from flows.experiment import Experiment
from flows.features import extract_streams
from flows.ingest import ingest_corpus
from flows.options import AlignOptions
from flows.pipeline_flow import pipeline_flow
from flows.pretrain import pretrain_views
from flows.progress import alignment, ended_in_turn
from flows.reporting import show_alignment_study
from mer.errors import ConfigError, CorpusError
from mer.training.partition import FINAL_VIEW
from tasks.learn.alignment_study import pooled_study, study_alignment_of_view


@pipeline_flow("align")
def align(options: AlignOptions) -> dict[str, dict[str, float]]:
    """Layer study, adaptation and alignments of every view; then the study of the outer folds' alignments, pooled, by stream."""
    recipe = options.load_recipe()
    if not recipe.anchors:
        raise ConfigError(
            f"recipe {recipe.name}: expected a stream with `alignment` and another one to align it to, found no such pair; "
            "add `alignment: {}` to the stream (and `to:`, where there is not one acoustic stream)"
        )
    dataset, _ = ingest_corpus(recipe, options)
    experiment = extract_streams(Experiment(recipe, dataset))
    anchors = experiment.recipe.anchors
    if not anchors:
        raise CorpusError(f"expected clips with {', '.join(recipe.anchors)} to align, found too few")
    experiment = pretrain_views(experiment)
    running = {
        stream: {
            view.name: study_alignment_of_view.submit(view, experiment.pair(stream, view), options.study)
            for view in experiment.views
            if view.name != FINAL_VIEW
        }
        for stream in anchors
    }
    figures = {}
    for stream, studies in running.items():
        done = ended_in_turn(f"study of {alignment(stream)}", studies)
        figures[stream] = pooled_study(list(done.values()), options.study)
        show_alignment_study(figures[stream], stream, anchors[stream])
    return figures
