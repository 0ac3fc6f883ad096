"""Sends tracking events to MLflow. Sending an event again changes nothing: runs are found by a key in their tags, metrics
carry the time of the event (MLflow keeps equal points once), parameters and figures are overwritten with the same.
"""

from __future__ import annotations

import base64
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from infra.hidden_secrets import hidden
from infra.mlflow_experiment import describe_experiment, remove_empty_default
from infra.services.servers import answers
from infra.shown_address import shown_address
from infra.sqlite_url import sqlite_file
from infra.tracking.spool import EventRefused, TrackingDown

KEY_TAG = "mer.key"
PARENT_TAG = "mlflow.parentRunId"
_PROBE_SECONDS = 3.0
_BATCH_METRICS, _BATCH_PARAMS, _BATCH_TAGS = 1000, 100, 100
"""MLflow's limits of one request."""
_VALUE_CHARACTERS = 6000
_FOR_GOOD = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "FEATURE_DISABLED", "ENDPOINT_NOT_FOUND"}
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default of 7 means minutes; the spool is our retry
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


class MlflowSink:
    """One tracking server or database, one experiment."""

    def __init__(self, uri: str, experiment: str, credentials: tuple[str, SecretStr] | None = None) -> None:
        """`credentials`: user and password for the server; None: those in its address, or none."""
        self._uri = uri
        self._experiment = experiment
        self._credentials = credentials
        self._opened: tuple[Any, str] | None = None

    def reachable(self, seconds: float = _PROBE_SECONDS) -> bool:
        """True if the server answers within `seconds` (a database file always does)."""
        if not self._uri.startswith("http"):
            return True
        return answers(f"{self._uri.rstrip('/')}/health", seconds)

    def send(self, event: Mapping[str, Any]) -> None:
        """Apply one event. Raises TrackingDown or EventRefused."""
        if not self.reachable():
            raise TrackingDown(f"no answer from {shown_address(self._uri)}")
        with _explained():
            _HANDLERS[event["type"]](self, event)

    @contextmanager
    def client(self) -> Iterator[tuple[Any, str]]:
        """MLflow's client and the id of the experiment; what fails in the block is raised as TrackingDown or EventRefused."""
        with _explained():
            yield self._client()

    def run_id(self, key: str) -> str | None:
        """MLflow's id of the run with this key."""
        client, experiment = self._client()
        # MLflow's filters have no escape for a quote: it stands for any character, and the exact one is chosen from what is found
        asked = (
            f"tags.`{KEY_TAG}` LIKE '{key.replace(chr(39), '_')}'"
            if "'" in key
            else f"tags.`{KEY_TAG}` = '{key}'"
        )
        runs = client.search_runs([experiment], filter_string=asked, max_results=100)
        return next((str(run.info.run_id) for run in runs if run.data.tags[KEY_TAG] == key), None)

    def _client(self) -> tuple[Any, str]:
        if self._credentials is not None:  # MLflow's client takes them from the environment, at each request
            user, password = self._credentials
            os.environ["MLFLOW_TRACKING_USERNAME"] = user
            os.environ["MLFLOW_TRACKING_PASSWORD"] = password.get_secret_value()
        if self._opened is None:
            for name, value in _ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            from mlflow.tracking import MlflowClient

            location = None
            if self._uri.startswith("sqlite:") and (file := sqlite_file(self._uri)) is not None:
                folder = file.parent
                folder.mkdir(parents=True, exist_ok=True)
                location = (folder / "artifacts").as_uri()
            client = MlflowClient(self._uri, self._uri)
            known = client.get_experiment_by_name(self._experiment)
            if known is not None:
                experiment = known.experiment_id
            else:
                experiment = client.create_experiment(self._experiment, artifact_location=location)
                if location is not None:  # a database of ours
                    remove_empty_default(client)
            describe_experiment(client, experiment)
            self._opened = client, str(experiment)
        return self._opened

    def _find_or_create(self, key: str, name: str, start_ms: int, parent: str | None) -> str:
        if (existing := self.run_id(key)) is not None:
            return existing
        client, experiment = self._client()
        tags = {KEY_TAG: key}
        if parent is not None:
            tags[PARENT_TAG] = self._find_or_create(parent, parent, start_ms, None)
        run = client.create_run(experiment, start_time=start_ms, tags=tags, run_name=name)
        return str(run.info.run_id)

    def _run(self, event: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        client, _ = self._client()
        run_id = self._find_or_create(event["key"], event["name"], event["start_ms"], event["parent"])
        metrics = [Metric(metric_name(k), v, event["end_ms"], step) for k, v, step in event["metrics"]]
        for batch in _batches(metrics, _BATCH_METRICS):
            client.log_batch(run_id, metrics=batch)
        params = [Param(metric_name(k), str(v)[:_VALUE_CHARACTERS]) for k, v in event["params"].items()]
        for batch in _batches(params, _BATCH_PARAMS):
            client.log_batch(run_id, params=batch)
        tags = [RunTag(k, str(v)) for k, v in event["tags"].items()]
        for batch in _batches(tags, _BATCH_TAGS):
            client.log_batch(run_id, tags=batch)
        self._figures(run_id, event["figures"])
        self._dataset(run_id, event["dataset"])
        if event["status"] is not None:
            client.set_terminated(run_id, status=event["status"], end_time=event["end_ms"])

    def _figures(self, run_id: str, figures: Mapping[str, str]) -> None:
        client, _ = self._client()
        with tempfile.TemporaryDirectory() as folder:
            for name, content in figures.items():
                *folders, file = (re.sub(r"[^A-Za-z0-9._-]|^\.+", "_", part) for part in name.split("/"))
                path = Path(folder) / file
                path.write_bytes(base64.b64decode(content))
                client.log_artifact(run_id, str(path), "/".join(folders) or "figures")

    def _dataset(self, run_id: str, dataset: Mapping[str, Any] | None) -> None:
        if dataset is None:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        client, _ = self._client()
        described = Dataset(
            name=dataset["name"],
            digest=dataset["digest"][:36],
            source_type="mer-catalogue",
            source=f'{{"snapshot": "{dataset["digest"]}"}}',
            profile=dataset["profile"],
        )
        client.log_inputs(run_id, [DatasetInput(described, [InputTag("mlflow.data.context", "training")])])

    def _superseded(self, event: Mapping[str, Any]) -> None:
        """An event of an earlier version: the registry is derived from the catalogue now (`infra.tracking.registry`)."""


_HANDLERS: Mapping[str, Any] = {
    "run": MlflowSink._run,
    "model_version": MlflowSink._superseded,
    "alias": MlflowSink._superseded,
}


@contextmanager
def _explained() -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        if error.error_code in _FOR_GOOD:
            raise EventRefused(hidden(str(error))) from error
        raise TrackingDown(hidden(str(error))) from error
    except (RequestException, SQLAlchemyError, OSError) as error:
        raise TrackingDown(hidden(str(error))) from error


def metric_name(text: str) -> str:
    """MLflow takes letters, digits and `_-. /` in names."""
    return re.sub(r"[^A-Za-z0-9_\-. /]", "_", text)[:250]


def _batches(items: Iterable[Any], size: int) -> Iterable[Sequence[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
