"""Versions and champions in a catalogue, without any training, and what MLflow's registry says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import httpx

from mer.predictor.package import RECORD, ModelPackage
from mer.recipes import Recipe
from tasks.stage.workspace import Workspace


def register_versions(space: Workspace, model: str, count: int) -> list[int]:
    """Register that many versions of a model, each with a package of its own."""
    stream = {"features": {"modality": "visual", "source": "files:clip-UTT"}}
    recipe = Recipe.model_validate({"name": "none", "emotions": ("angry", "happy"), "visual": stream})
    record = ModelPackage(recipe=recipe, system="fused").model_dump_json().encode()
    numbers = []
    for number in range(count):
        key = hashlib.sha256(f"{model} {number}".encode()).hexdigest()
        package = space.artifacts.commit("model", key, {RECORD: record, "weights": key.encode()})
        metrics = {"waf": 0.5 + number / 100}
        numbers.append(
            space.catalogue.add_model_version(model, package, metrics=metrics, idempotency_key=key)
        )
    return numbers


def make_champions(space: Workspace, model: str, versions: Sequence[int]) -> None:
    """Make each version champion, one after the other."""
    for version in versions:
        space.catalogue.set_alias(model, "champion", version, f"promoted: version {version}")


def in_registry(address: str, model: str) -> dict[str, Any]:
    """`versions` (sha256 by our number) and `aliases` (our number by alias) of a model, at an address with user and password."""
    with httpx.Client(base_url=f"{address}/api/2.0/mlflow", timeout=20) as client:
        found = client.get("/model-versions/search", params={"filter": f"name = '{model}'"}).json()
        versions = {row["version"]: _tags(row) for row in found.get("model_versions", [])}
        answer = client.get("/registered-models/get", params={"name": model})
    aliases = answer.json()["registered_model"].get("aliases", []) if answer.is_success else []
    return {
        "versions": {int(tags["mer.version"]): tags["mer.sha256"] for tags in versions.values()},
        "aliases": {item["alias"]: int(versions[item["version"]]["mer.version"]) for item in aliases},
        "count": len(versions),
    }


def _tags(row: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in row.get("tags", [])}
