"""MLflow is away at the start, from the middle of an answer on, or for good: the run ends well, its figures come once, and
nothing is promoted that MLflow does not know of."""

from __future__ import annotations

import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_layouts import labels
from e2e_installation import Installation
from fault_report import Faults
from invariants import check_invariants
from mlflow_gate import Gate, gate_before
from registered_models import in_registry

pytestmark = pytest.mark.fault

RECIPE = """
name: NAME
emotions: [angry, happy]
folds: {count: 2, use_published: false}
visual:
  features: {modality: visual, source: "files:clip-UTT"}
fusion: {epochs: 60, hidden: 16, learning_rate: 0.01}
gate: {min_clips: 20}
"""


@pytest.fixture
def gate(mlflow_address: str) -> Iterator[Gate]:
    with gate_before(mlflow_address) as made:
        yield made


@pytest.fixture
def installation(tmp_path: Path, server_addresses: dict[str, str], gate: Gate) -> Installation:
    """A home whose MLflow is behind the gate, and a corpus of vectors that tell two emotions apart."""
    corpus = tmp_path / f"corpus-{tmp_path.name}"
    emotions = {f"clip{number:02d}": ("angry", "happy")[number % 2] for number in range(40)}
    labels(
        corpus, "track1_label_6way.npz", train={name: {"emo": emotion} for name, emotion in emotions.items()}
    )
    folder = corpus / "features" / "clip-UTT"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(
        zlib.crc32(tmp_path.name.encode())
    )  # the server is shared: artifacts of our own
    for name, emotion in emotions.items():
        vector = generator.normal(0, 0.3, 4) + (1 if emotion == "happy" else -1)
        np.save(folder / f"{name}.npy", vector.astype(np.float32))
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("NAME", tmp_path.name.replace("_", "-")))
    environment = {**server_addresses, "MER_MLFLOW_TRACKING_URI": gate.address}
    return Installation(home=tmp_path / "home", corpus=corpus, environment=environment)


def run(installation: Installation) -> str:
    recipe = installation.home.parent / "recipe.yaml"
    return installation.mer("run", "--recipe", str(recipe), "--corpus", str(installation.corpus)).stdout


@pytest.mark.nightly
def test_mlflow_down_at_the_start(
    installation: Installation, gate: Gate, mlflow_address: str, faults: Faults
) -> None:
    faults.row, faults.injected = "MLflow down", 1
    gate.is_open = False

    def open_when_it_was_asked() -> None:
        while not gate.refused:
            done.wait(0.1)
        gate.is_open = True

    done = threading.Event()
    opener = threading.Thread(target=open_when_it_was_asked, daemon=True)
    opener.start()
    said = run(installation)
    assert gate.refused, "it was never asked while it was away"
    assert "promoted" in said, said[-1500:]
    check_all_came_once(installation, mlflow_address)


def test_mlflow_down_in_mid_run(
    installation: Installation, gate: Gate, mlflow_address: str, faults: Faults
) -> None:
    faults.row, faults.injected = "MLflow down", 1
    gate.closes_with = "/runs/log-batch"
    said = run(installation)
    assert "deferred" in said and "nothing is promoted" in said
    with installation.catalogue() as catalogue:
        assert [row.version for row in catalogue.model_versions()] == [1]
        assert catalogue.aliases() == {}
    check_invariants(installation.settings(), recovered=True)
    gate.closes_with, gate.is_open = None, True
    again = run(installation)
    assert "sent " in again and "promoted" in again
    check_all_came_once(installation, mlflow_address)


@pytest.mark.nightly
def test_mlflow_down_for_good(installation: Installation, gate: Gate, faults: Faults) -> None:
    faults.row, faults.injected = "MLflow down", 1
    gate.is_open = False
    assert "deferred" in run(installation)
    said = " ".join(installation.mer("status").stdout.split())
    assert "tracking events wait for MLflow, the oldest for" in said
    assert "no champion" in said and "MLflow was not asked" in said
    check_invariants(installation.settings(), recovered=True)


def check_all_came_once(installation: Installation, address: str) -> None:
    """Every stage is tracked once, each figure once, and the registry agrees with the catalogue."""
    check_invariants(installation.settings(), recovered=True)
    assert not list(installation.settings().spool_folder.glob("*.json"))
    with installation.catalogue() as catalogue:
        made = {f"{record.ref.kind}/{record.ref.key}" for record in catalogue.artifacts()}
        (model,) = catalogue.aliases()
        versions = {row.version: row.artifact.sha256 for row in catalogue.model_versions(model)}
    there = in_registry(address, model)
    assert (there["versions"], there["aliases"], there["count"]) == (versions, {"champion": 1}, len(versions))
    client, runs = runs_of(address, made)
    counted = Counter(run.data.tags["artifact"] for run in runs)
    assert counted and set(counted.values()) == {1}
    assert {"fusion", "evaluation"} <= {name.partition("/")[0] for name in counted}
    for stage in runs:
        assert len(client.get_metric_history(stage.info.run_id, "stage_seconds")) == 1, "figures came twice"


def runs_of(address: str, artifacts: set[str]) -> tuple[Any, list[Any]]:
    """MLflow's client, and the stage runs that made these artifacts."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(address, address)
    experiment = client.get_experiment_by_name("mer")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    return client, [run for run in runs if run.data.tags.get("artifact") in artifacts]
