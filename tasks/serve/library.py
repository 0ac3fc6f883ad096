"""Registered models for `mer.load_model`: the catalogue's champion or version, as a package folder."""

from __future__ import annotations

from pathlib import Path

from tasks.stage.workspace import workspace


def champion_folder(name: str, version: int | None = None) -> tuple[Path, Path]:
    """Fetch a registered version's package; returns its folder and the folder of converted weights.

    Args:
        name: of the model.
        version: number of the version; None: the champion.

    Raises:
        LookupError: the catalogue of this `MER_HOME` has no such model or version.
    """
    space = workspace()
    if version is None:
        chosen = space.catalogue.champion(name)
    else:
        chosen = next((row for row in space.catalogue.model_versions(name) if row.version == version), None)
    if chosen is None:
        what = "champion" if version is None else f"version {version}"
        raise LookupError(
            f"the catalogue below {space.settings.home} has no {what} of a model {name!r}; `mer models` lists what it has"
        )
    return space.artifacts.fetch(chosen.artifact), space.weights
