from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from infra.services import start, stop_all
from infra.services.home_secrets import made_up_secret
from infra.settings import Settings
from infra.tracking import RunRecord, Tracker
from infra.tracking.spool import Spool

PNG = bytes.fromhex("89504e470d0a1a0a") + b"not really a picture"
DIGEST = hashlib.sha256(b"model").hexdigest()


def log_a_stage(tracker: Tracker, key: str = "k1", **changed: Any) -> None:
    values: dict[str, Any] = {
        "name": "fusion fold0",
        "params": {"learning_rate": 0.001, "layers": "[1, 2]", "a+b": "x" * 9000},
        "metrics": {"waf": 0.83, "diverged": float("nan")},
        "history": [{"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.5}],
        "figures": {"confusion matrix.png": PNG},
        "tags": {"artifact": "fusion/abc"},
        "seconds": 12.5,
    }
    record = RunRecord(**{**values, **changed})
    tracker.log_stage(parent="retrain brave-otter", idempotency_key=key, record=record)


def client(settings: Settings) -> Any:
    from mlflow.tracking import MlflowClient

    uri = settings.mlflow_tracking_uri.get_secret_value()
    return MlflowClient(uri, uri)


def runs(settings: Settings, experiment: str) -> dict[str, Any]:
    mlflow = client(settings)
    found = mlflow.get_experiment_by_name(experiment)
    if found is None:
        return {}
    listed = mlflow.search_runs([found.experiment_id])
    assert len({run.info.run_name for run in listed}) == len(listed)
    return {run.info.run_name: run for run in listed}


@pytest.fixture
def down(settings: Settings) -> Settings:
    """MLflow at a port where nobody listens."""
    return settings.model_copy(update={"mlflow_tracking_uri": SecretStr("http://127.0.0.1:1")})


def test_mlflow_down_never_stops_a_run_and_nothing_is_lost(down: Settings) -> None:
    tracker = Tracker(down)
    assert not tracker.reachable()
    log_a_stage(tracker)
    tracker.log_run("retrain brave-otter", metrics={"waf": 0.8}, status="FINISHED")
    assert tracker.waiting() == 2
    assert tracker.replay() == 0
    assert Tracker(down).waiting() == 2


def test_nothing_is_imported_before_something_is_sent(tmp_path: Path) -> None:
    code = (
        "import sys; from infra.settings import load_settings; from infra.tracking import Tracker; import infra.artifacts\n"
        "import infra.catalogue, infra.services, infra.objects, infra.studies\n"
        "t = Tracker(load_settings()); t.replay()\n"
        "print(sorted({'torch', 'mlflow', 'optuna', 'prefect', 'sklearn', 'minio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={"MER_HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_a_secret_in_the_address_is_not_logged(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    url = SecretStr("http://user:planted-secret@127.0.0.1:1")
    log_a_stage(Tracker(settings.model_copy(update={"mlflow_tracking_uri": url})))
    assert "does not answer" in caplog.text
    assert "planted-secret" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["server", "database"])
def test_a_run_with_stages(request: pytest.FixtureRequest, kind: str) -> None:
    settings: Settings = request.getfixturevalue("mlflow_settings" if kind == "server" else "settings")
    tracker = Tracker(settings, experiment=f"stages-{kind}")
    tracker.log_run("retrain brave-otter", params={"recipe": "demo"}, dataset=("demo", DIGEST, 200))
    log_a_stage(tracker)
    log_a_stage(tracker)  # a retry of the same stage
    tracker.log_run("retrain brave-otter", metrics={"waf": 0.9}, status="FINISHED")
    assert tracker.waiting() == 0
    found = runs(settings, f"stages-{kind}")
    assert set(found) == {"retrain brave-otter", "fusion fold0"}
    parent, stage = found["retrain brave-otter"], found["fusion fold0"]
    assert stage.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert stage.data.metrics == {"waf": 0.83, "loss": 0.5}
    assert stage.data.params["learning_rate"] == "0.001"
    assert len(stage.data.params["a_b"]) == 6000
    assert stage.data.tags["artifact"] == "fusion/abc"
    assert stage.info.status == "FINISHED"
    assert abs(stage.info.end_time - stage.info.start_time - 12_500) < 2000
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"waf": 0.9}
    assert parent.inputs.dataset_inputs[0].dataset.digest == DIGEST[:36]
    mlflow = client(settings)
    tags = mlflow.get_experiment(parent.info.experiment_id).tags
    assert (
        tags["mlflow.experimentKind"] == "custom_model_development"
        and "champions" in tags["mlflow.note.content"]
    )
    page = tracker.run_page("retrain brave-otter")
    assert (page is None) == (kind == "database"), "no server shows this database"
    history = mlflow.get_metric_history(stage.info.run_id, "loss")
    assert sorted({(point.step, point.value) for point in history}) == [(1, 0.9), (2, 0.5)]
    (figure,) = mlflow.list_artifacts(stage.info.run_id, "figures")
    fetched = mlflow.download_artifacts(stage.info.run_id, figure.path)
    assert Path(fetched).read_bytes() == PNG


@pytest.mark.slow
def test_the_ui_shows_what_was_logged_straight_to_its_database(server_home: Settings) -> None:
    """The default: the flow logs into the file that the local server shows."""
    address = start("mlflow", server_home)
    tracker = Tracker(server_home)
    assert tracker.experiment_page() is None, "nothing was tracked yet"
    log_a_stage(tracker)
    assert [item.name for item in client(server_home).search_experiments()] == ["mer"], (
        "no empty one beside it"
    )
    page = tracker.experiment_page()
    assert page == f"{address}/#/experiments/1/runs?workflowType=machine_learning"
    run = runs(server_home, "mer")["fusion fold0"]
    query = f"path=figures/confusion_matrix.png&run_uuid={run.info.run_id}"
    owner = ("mer", made_up_secret(server_home, "mlflow"))
    assert httpx.get(f"{address}/get-artifact?{query}", auth=owner).raise_for_status().content == PNG


@pytest.mark.slow
def test_what_was_spooled_is_replayed_once_even_by_two_senders(
    mlflow_settings: Settings, down: Settings
) -> None:
    offline = Tracker(down, experiment="replay")
    for number in range(3):
        log_a_stage(offline, key=f"k{number}", name=f"stage {number}")
    offline.log_run("retrain brave-otter", status="FINISHED")
    before = {p: p.read_text() for p in down.spool_folder.glob("*.json")}
    assert Tracker(mlflow_settings, experiment="replay").replay() == 4
    for path, content in before.items():
        path.write_text(content)  # as if the sender had been killed before it could remove them
    assert Tracker(mlflow_settings, experiment="replay").replay() == 4
    found = runs(mlflow_settings, "replay")
    assert len(found) == 4
    history = client(mlflow_settings).get_metric_history(found["stage 1"].info.run_id, "loss")
    assert len(history) == 2


@pytest.mark.slow
def test_a_server_that_comes_back_gets_everything_in_order(server_home: Settings) -> None:
    address = start("mlflow", server_home)
    settings = server_home.model_copy(update={"mlflow_tracking_uri": SecretStr(address)})
    tracker = Tracker(settings, experiment="outage")
    log_a_stage(tracker, key="k1", name="before")
    stop_all(server_home)
    log_a_stage(tracker, key="k2", name="during")
    assert tracker.waiting() == 1
    assert start("mlflow", server_home) == address
    log_a_stage(tracker, key="k3", name="after")
    assert tracker.waiting() == 0
    assert set(runs(settings, "outage")) == {"retrain brave-otter", "before", "during", "after"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["it's", 'it\'s "one"', "100 % of _"])
def test_a_run_of_any_name_is_found_again(name: str, mlflow_settings: Settings) -> None:
    experiment = f"names {name.encode().hex()}"
    tracker = Tracker(mlflow_settings, experiment=experiment)
    for _ in range(2):
        tracker.log_run(name, metrics={"waf": 0.5}, status="FINISHED")
    assert tracker.waiting() == 0
    assert set(runs(mlflow_settings, experiment)) == {name}
    page = tracker.run_page(name)
    assert page is not None and f"/runs/{runs(mlflow_settings, experiment)[name].info.run_id}?" in page
    assert "@" not in page, "no password"
    assert tracker.run_page(f"{name} other") is None


def test_a_silent_server_is_not_asked_for_each_stage(down: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker(down)
    asked: list[float] = []

    def slow(*arguments: object) -> bool:
        asked.append(time.monotonic())
        time.sleep(0.2)
        return False

    monkeypatch.setattr("infra.tracking.mlflow_sink.answers", slow)
    for number in range(4):
        log_a_stage(tracker, key=f"k{number}")
    assert (len(asked), tracker.waiting()) == (1, 4)


@pytest.mark.slow
def test_a_damaged_database_stops_no_run(settings: Settings) -> None:
    database = settings.home / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database" * 1000)
    tracker = Tracker(settings)
    log_a_stage(tracker)
    assert tracker.waiting() == 1


def test_events_of_an_earlier_version_for_the_registry_are_superseded(settings: Settings) -> None:
    """It is derived from the catalogue now: what they said may be old."""
    spool = Spool(settings.spool_folder)
    spool.add({"type": "model_version", "name": "demo", "version": 1})
    spool.add({"type": "alias", "name": "demo", "alias": "champion", "version": 1, "order": 1})
    tracker = Tracker(settings)
    tracker.replay()
    assert (tracker.waiting(), tracker.refused()) == (0, [])


def test_a_damaged_event_is_set_aside(settings: Settings) -> None:
    settings.spool_folder.mkdir(parents=True)
    (settings.spool_folder / "0001.json").write_text("{half")
    (settings.spool_folder / "0002.json").write_text(json.dumps([]))
    tracker = Tracker(settings)
    assert tracker.replay() == 0
    assert tracker.waiting() == 0
