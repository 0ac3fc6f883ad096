"""Whether a registered version can be served: its package and its evaluation are in the store, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from infra.catalogue import ModelVersionRow
from infra.errors import ArtifactCorrupt, ArtifactMissing, CatalogueError
from tasks.stage.workspace import Workspace


def defect_of(space: Workspace, row: ModelVersionRow) -> ArtifactMissing | ArtifactCorrupt | None:
    """What is missing or damaged of a version; every byte is read. None: it is complete."""
    for ref in (row.artifact, row.evaluation):
        if ref is None:
            continue
        try:
            space.artifacts.verify(ref)
        except (ArtifactMissing, ArtifactCorrupt) as error:
            return error
    return None


def require_complete(space: Workspace, row: ModelVersionRow) -> None:
    """Refuse to make a version champion that could not be served.

    Raises:
        CatalogueError: something of it is gone or damaged; says what, and which version is complete.
    """
    if (defect := defect_of(space, row)) is None:
        return
    raise CatalogueError(
        f"{row.name} version {row.version} cannot be served: {_cause(defect)}; the champion stays as it is; "
        f"{_instead(space, row)}"
    )


def fetch_package(space: Workspace, row: ModelVersionRow) -> Path:
    """Folder of a version's package, verified.

    Raises:
        ArtifactMissing, ArtifactCorrupt: something of it is gone or damaged; says what, and which version answers instead.
    """
    try:
        return space.artifacts.fetch(row.artifact)
    except (ArtifactMissing, ArtifactCorrupt) as error:
        raise type(error)(
            f"{row.name} version {row.version} cannot answer: {_cause(error)}; {_instead(space, row)}"
        ) from error


def _instead(space: Workspace, row: ModelVersionRow) -> str:
    champion = space.catalogue.champion(row.name)
    others = [
        other
        for other in space.catalogue.model_versions(row.name)
        if other not in (row, champion) and other.retired_at is None
    ]
    complete = _first_complete(space, reversed(others))
    again = "the run that trained it makes it again"
    if complete is None:
        return f"no other version of {row.name} is complete: {again}"
    return (
        f"version {complete.version} is complete (`mer models {row.name} --promote {complete.version}` makes it the champion), "
        f"and {again}"
    )


def _first_complete(space: Workspace, rows: Iterable[ModelVersionRow]) -> ModelVersionRow | None:
    """Champions of before come first: the gate let them pass."""
    listed = list(rows)
    if not listed:
        return None
    gated = [audit.version for audit in reversed(space.catalogue.promotions(listed[0].name))]
    listed.sort(key=lambda row: gated.index(row.version) if row.version in gated else len(gated))
    return next((row for row in listed if defect_of(space, row) is None), None)


def _cause(error: Exception) -> str:
    return str(error).removesuffix(": compute it again")
