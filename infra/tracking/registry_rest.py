"""The registry of a server, by its REST interface (without importing MLflow: some tens of milliseconds)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.tracking.mlflow_rest import MlflowAnswer, MlflowRest
from infra.tracking.registry import MirroredModel, RegistryVersion

_MODELS_A_PAGE, _VERSIONS_A_PAGE = 1000, 10_000
"""MLflow's limits."""
_PARENT_TAG = "mlflow.parentRunId"


class RestRegistry:
    """See `infra.tracking.registry.Registry`."""

    def __init__(self, rest: MlflowRest, experiment: str) -> None:
        """`experiment`: name of the experiment that holds the runs."""
        self._rest = rest
        self._experiment = experiment

    def read(self) -> dict[str, MirroredModel]:
        """Every model by name."""
        models = {
            model["name"]: MirroredModel(
                aliases={item["alias"]: str(item["version"]) for item in model.get("aliases", ())}
            )
            for model in self._pages("registered-models/search", "registered_models", _MODELS_A_PAGE)
        }
        for version in self._pages("model-versions/search", "model_versions", _VERSIONS_A_PAGE):
            tags = {tag["key"]: tag.get("value", "") for tag in version.get("tags", ())}
            models.setdefault(version["name"], MirroredModel()).versions[str(version["version"])] = tags
        return models

    def create_model(self, name: str) -> None:
        """Make a model, unless it is there."""
        try:
            self._rest.post("registered-models/create", {"name": name})
        except MlflowAnswer as answer:
            if answer.code != "RESOURCE_ALREADY_EXISTS":
                raise

    def create_version(self, name: str, version: RegistryVersion, run_id: str | None) -> str:
        """Make a version; returns MLflow's number."""
        body = {
            "name": name,
            "source": version.source,
            "tags": [{"key": key, "value": value} for key, value in version.tags.items()],
            **({"run_id": run_id} if run_id is not None else {}),
            **({"description": version.description} if version.description else {}),
        }
        return str(self._rest.post("model-versions/create", body)["model_version"]["version"])

    def tag_version(self, name: str, number: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        body = {"name": name, "version": number, "key": key, "value": value}
        self._rest.post("model-versions/set-tag", body)

    def point_alias(self, name: str, alias: str, number: str) -> None:
        """Point an alias at a version."""
        self._rest.post("registered-models/alias", {"name": name, "alias": alias, "version": number})

    def remove_alias(self, name: str, alias: str) -> None:
        """Remove an alias."""
        self._rest.delete("registered-models/alias", {"name": name, "alias": alias})

    def run_that_made(self, evaluation: str) -> str | None:
        """MLflow's id of the parent of the run whose artifact is this evaluation."""
        try:
            experiment = self._rest.get("experiments/get-by-name", experiment_name=self._experiment)
            asked = {
                "experiment_ids": [experiment["experiment"]["experiment_id"]],
                "filter": f"tags.artifact = '{evaluation}'",
                "max_results": 1,
            }
            runs = self._rest.post("runs/search", asked).get("runs", [])
        except MlflowAnswer:
            return None
        tags = {tag["key"]: tag["value"] for run in runs for tag in run["data"].get("tags", ())}
        return tags.get(_PARENT_TAG)

    def _pages(self, path: str, what: str, size: int) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {"max_results": size}
        while True:
            answer = self._rest.get(path, **query)
            yield from answer.get(what, ())
            if not answer.get("next_page_token"):
                return
            query["page_token"] = answer["next_page_token"]
