"""Drift: do new clips still look, sound and answer like those that the served version learnt from, and what follows if not?

New clips are compared with the version's training snapshot, speakers against speakers; the recipe's `drift` says from when
on that is only told, suggests a retraining, or starts one.
"""

from __future__ import annotations

from prefect.runtime import flow_run

from flows.drift_table import show_drift
from flows.ingest import catalogue_corpus
from flows.noteworthy import drift_looked_at
from flows.options import DriftOptions, RetrainOptions
from flows.pipeline_flow import pipeline_flow
from flows.retrain import retrained
from flows.terminal import console
from tasks.serve.drift import DriftFound, DriftRequest, close_drift_run, drift_of
from tasks.serve.library import model_of_corpus
from tasks.stage.tracking import tracked


@pipeline_flow("drift")
def drift(options: DriftOptions) -> DriftFound:
    """Test new clips for drift; where the policy starts a retraining, retrain on the corpus."""
    parent_run = f"drift {flow_run.name or 'by hand'}"
    policy = options.policy or None
    with tracked(parent_run):
        if options.clips:
            config = options.load_recipe().drift if options.recipe or options.set else None
            request = DriftRequest(
                options.model, options.version, "", options.clips, config, policy, parent_run
            )
        else:
            recipe = options.load_recipe()
            report = catalogue_corpus(recipe, options)
            model = options.model or model_of_corpus(report.corpus if options.corpus else "", recipe.name)
            request = DriftRequest(
                model, options.version, report.corpus, (), recipe.drift, policy, parent_run
            )
        found = drift_of.submit(request).result()
        close_drift_run(found, parent_run)
    show_drift(found)
    drift_looked_at(found)
    if found.action != "start":
        return found
    if options.clips:
        console.print(
            "a retraining is started of a corpus only: `mer refresh --corpus PATH`, with these clips in it"
        )
        return found
    console.print("[bold]drift starts a retraining[/]")
    fields = RetrainOptions.model_fields
    retrained(RetrainOptions(**{name: getattr(options, name) for name in fields} | {"on_drift": ""}))
    return found
