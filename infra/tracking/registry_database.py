"""The registry in a database of MLflow's, by its client: where no server of that database answers."""

from __future__ import annotations

from typing import Any

from infra.tracking.mlflow_sink import PARENT_TAG, MlflowSink
from infra.tracking.registry import MirroredModel, RegistryVersion

_MODELS_A_PAGE, _VERSIONS_A_PAGE = 1000, 10_000


class DatabaseRegistry:
    """See `infra.tracking.registry.Registry`."""

    def __init__(self, sink: MlflowSink) -> None:
        self._sink = sink

    def read(self) -> dict[str, MirroredModel]:
        """Every model by name."""
        models = {
            model.name: MirroredModel(aliases={alias: str(number) for alias, number in model.aliases.items()})
            for model in self._all("search_registered_models", _MODELS_A_PAGE)
        }
        for version in self._all("search_model_versions", _VERSIONS_A_PAGE):
            models.setdefault(version.name, MirroredModel()).versions[str(version.version)] = dict(
                version.tags
            )
        return models

    def create_model(self, name: str) -> None:
        """Make a model; one that is there was read before."""
        self._ask("create_registered_model", name)

    def create_version(self, name: str, version: RegistryVersion, run_id: str | None) -> str:
        """Make a version; returns MLflow's number."""
        tags = dict(version.tags)
        said = {"source": version.source, "run_id": run_id, "tags": tags, "description": version.description}
        made = self._ask("create_model_version", name, **said)
        return str(made.version)

    def tag_version(self, name: str, number: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._ask("set_model_version_tag", name, number, key, value)

    def point_alias(self, name: str, alias: str, number: str) -> None:
        """Point an alias at a version."""
        self._ask("set_registered_model_alias", name, alias, number)

    def remove_alias(self, name: str, alias: str) -> None:
        """Remove an alias."""
        self._ask("delete_registered_model_alias", name, alias)

    def run_that_made(self, evaluation: str) -> str | None:
        """MLflow's id of the parent of the run whose artifact is this evaluation."""
        with self._sink.client() as (client, experiment):
            query = f"tags.artifact = '{evaluation}'"
            runs = client.search_runs([experiment], filter_string=query, max_results=1)
        return runs[0].data.tags.get(PARENT_TAG) if runs else None

    def _ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        with self._sink.client() as (client, _):
            return getattr(client, method)(*arguments, **named)

    def _all(self, method: str, size: int) -> list[Any]:
        rows: list[Any] = []
        token: str | None = None
        while True:
            page = self._ask(method, max_results=size, page_token=token)
            rows += page
            if not (token := page.token):
                return rows
