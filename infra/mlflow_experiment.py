"""How an experiment opens in MLflow's page: on training runs, not on its GenAI views, and without an empty one beside it."""

from __future__ import annotations

from typing import Any

KIND_TAG, TRAINING = "mlflow.experimentKind", "custom_model_development"
NOTE_TAG = "mlflow.note.content"
_NOTE = (
    "Runs of the emotion recognition pipeline: a run for each flow run, its stages nested in it. Models and their champions are "
    "in the registry; the catalogue (`mer models`) is the authority on both."
)
_DEFAULT = "0"


def describe_experiment(client: Any, experiment: str) -> None:
    """Let the experiment open on model training, with a description; one that has them already is left as it is."""
    tags = client.get_experiment(experiment).tags
    for tag, value in ((KIND_TAG, TRAINING), (NOTE_TAG, _NOTE)):
        if tag not in tags:
            client.set_experiment_tag(experiment, tag, value)


def remove_empty_default(client: Any) -> bool:
    """Remove MLflow's own experiment `Default` from a database of ours, if nothing is in it; returns whether it was there."""
    known = client.get_experiment(_DEFAULT)
    if known.lifecycle_stage != "active" or client.search_runs([_DEFAULT], max_results=1):
        return False
    client.delete_experiment(_DEFAULT)
    return True
