"""Registered models for `mer.load_model`: the catalogue's champion or version, as a package folder."""

from __future__ import annotations

from infra.catalogue import ModelVersionRow
from mer.library.sources import RegisteredModel
from tasks.stage.workspace import Workspace, reading_workspace


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


def version_of(space: Workspace, name: str, version: int | None = None) -> ModelVersionRow:
    """The version of this number, or the champion, of a model.

    Raises:
        LookupError: there is none; says which models or versions there are.
    """
    rows = space.catalogue.model_versions(name)
    numbers = [row.version for row in rows]
    if version in numbers:
        return rows[numbers.index(version)]
    champion = space.catalogue.champion(name) if version is None else None
    if champion is not None:
        return champion
    what = "champion" if version is None else f"version {version}"
    where = f"the catalogue below {space.settings.home} has no {what} of a model {name!r}"
    listed = ", ".join(map(str, numbers))
    if not rows:
        known = ", ".join(sorted({row.name for row in space.catalogue.model_versions()}))
        raise LookupError(
            f"{where}: expected one of {known}"
            if known
            else f"{where}, nor any model yet: `mer run` makes one"
        )
    if version is None:
        raise LookupError(
            f"{where}, since none of its versions ({listed}) was promoted; name one, e.g. version {numbers[-1]}, "
            f"or see why: `mer models {name}`"
        )
    raise LookupError(f"{where}: expected {'one of ' if len(numbers) > 1 else ''}{listed}")


def registered_version(name: str, version: int | None = None) -> RegisteredModel:
    """Fetch a registered version's package.

    Args:
        name: of the model.
        version: number of the version; None: the champion.

    Raises:
        LookupError: the catalogue of this `MER_HOME` has no such model or version.
    """
    space = reading_workspace()
    chosen = version_of(space, name, version)
    return RegisteredModel(space.artifacts.fetch(chosen.artifact), space.weights, chosen.version)
