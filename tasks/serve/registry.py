"""The models of the catalogue in MLflow's registry, which follows from the catalogue alone."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from infra.artifacts import manifest_uri
from infra.catalogue import ModelVersionRow
from infra.errors import InfraError
from infra.tracking.mlflow_sink import metric_name
from infra.tracking.registry import (
    ALIASES,
    SHA256_TAG,
    VERSION_TAG,
    Mirrored,
    RegistryModel,
    RegistryVersion,
    differences,
    unknown_versions,
)
from infra.tracking.spool import EventRefused, TrackingDown
from tasks.stage.origin import described
from tasks.stage.workspace import Workspace

logger = logging.getLogger(__name__)

SOON_SECONDS = 2.0
"""Longest time that a person who promotes or rolls back waits for MLflow."""
_FOLLOWS = "MLflow's registry follows at the next start of a flow, or with `mer up`"
Answer = TypeVar("Answer")


def registry_models(space: Workspace) -> list[RegistryModel]:
    """Every model of the catalogue, as it is to be in MLflow's registry."""
    aliases = space.catalogue.aliases()  # before the versions, so that each of them points at one
    rows = space.catalogue.model_versions()
    return [
        RegistryModel(
            name=name,
            versions=[_version(space, row) for row in rows if row.name == name],
            aliases={alias: number for alias, number in aliases.get(name, {}).items() if alias in ALIASES},
        )
        for name in dict.fromkeys(row.name for row in rows)
    ]


def mirror_registry(space: Workspace) -> Mirrored:
    """Make MLflow's registry equal to the catalogue; what is equal costs two requests."""
    return space.tracker.mirror(partial(registry_models, space))


def mirror_after_change(space: Workspace) -> None:
    """The same in a run, which goes on whatever becomes of it: what fails is logged, and made good by the next start."""
    done = mirror_registry(space)
    if done.failed:
        logger.warning("%s: %s", _FOLLOWS, done.failed)
    for line in done.refused:
        logger.error("MLflow's registry does not take a model: %s", line)


def mirror_soon(space: Workspace) -> str:
    """The same for a person who waits: given up after two seconds; returns a remark where MLflow does not agree yet."""
    attempt = partial(space.tracker.mirror, partial(registry_models, space), seconds=SOON_SECONDS)
    try:
        done = within(SOON_SECONDS, attempt)
    except (TrackingDown, InfraError) as error:
        done = Mirrored(failed=str(error))
    if done.failed:
        return f"{_FOLLOWS}: {done.failed}"
    return f"MLflow's registry does not take it: {'; '.join(done.refused)}" if done.refused else ""


def registry_lines(space: Workspace, models: Sequence[RegistryModel]) -> dict[str, str]:
    """Model -> whether MLflow agrees with the catalogue, in words; asked for a second at most."""
    try:
        mirrored = within(1.0, partial(space.tracker.mirrored, 1.0))
    except (TrackingDown, EventRefused) as error:
        return {model.name: f"MLflow was not asked: {error}" for model in models}
    lines = {}
    for model in models:
        there = mirrored.get(model.name)
        wrong = differences(model, there)
        said = [f"MLflow {', '.join(wrong)}: `mer up` puts it right" if wrong else "MLflow agrees"]
        if unknown := unknown_versions(model, there):
            said.append(f"MLflow has {', '.join(unknown)}, which this catalogue does not have")
        lines[model.name] = "; ".join(said)
    return lines


def within(seconds: float, work: Callable[[], Answer]) -> Answer:
    """Result of `work`, in a thread that nobody waits for any longer (names are resolved without a time limit).

    Raises:
        TrackingDown: it took too long.
    """
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TrackingDown(f"MLflow does not answer within {seconds:.0f} s")
    return answers[0]


def _version(space: Workspace, row: ModelVersionRow) -> RegistryVersion:
    ref = row.artifact
    figures = {
        f"metric.{metric_name(name)}": str(value)
        for name, value in row.metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return RegistryVersion(
        number=row.version,
        source=f"mer-artifact://{ref.kind}/{ref.key}",
        tags={
            VERSION_TAG: str(row.version),
            "mer.uri": manifest_uri(space.settings.object_store_url, ref),
            SHA256_TAG: ref.sha256,
            **figures,
            **{f"mer.{name}": value for name, value in (row.origin or {}).items()},
        },
        evaluation=None if row.evaluation is None else f"{row.evaluation.kind}/{row.evaluation.key}",
        description="" if row.origin is None else described(row.origin, f"{row.name} version {row.version}."),
    )
