"""Registered models for `mer.load_model`: the catalogue's champion or version, as a package folder."""

from __future__ import annotations

from mer.library.sources import RegisteredModel
from tasks.stage.workspace import Workspace, workspace


def model_named(space: Workspace, name: str) -> str:
    """The name, or where it is empty the one model that there is: the only one with a champion, or the only one at all.

    Raises:
        LookupError: there is none, or there are several; lists them.
    """
    if name:
        return name
    names = sorted({row.name for row in space.catalogue.model_versions()})
    served = [model for model in names if space.catalogue.champion(model) is not None]
    if len(served or names) == 1:
        return (served or names)[0]
    if not names:
        raise LookupError("no model is registered yet: `mer run` makes one")
    raise LookupError(
        f"expected the name of a model, since there are several: {', '.join(served or names)}; `mer models` says more of them"
    )


def registered_version(name: str, version: int | None = None) -> RegisteredModel:
    """Fetch a registered version's package.

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
    return RegisteredModel(space.artifacts.fetch(chosen.artifact), space.weights, chosen.version)
