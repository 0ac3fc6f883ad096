"""Registered models for `mer.load_model`: the catalogue's champion or version, as a package folder."""

from __future__ import annotations

import logging
from typing import NamedTuple

from infra.catalogue import ModelVersionRow
from mer.library.sources import RegisteredModel
from tasks.serve.complete_versions import fetch_package
from tasks.stage.workspace import Workspace, reading_workspace, workspace

NOT_GATED = "not_gated"
"""Flag of every answer of a version that the promotion gate did not let pass."""


def model_of_corpus(corpus: str, recipe: str) -> str:
    """Name of the model that a run over a corpus trains, where none is given: that of the corpus.

    It is the recipe's for the demo corpus, and where an earlier version (0.3.0 and before) called this corpus' model by it.

    Args:
        corpus: its name in the catalogue; empty: the demo corpus.
        recipe: name of the recipe.
    """
    if not corpus:
        return recipe
    catalogue = workspace().catalogue
    rows = catalogue.model_versions()
    of_recipe = [row for row in rows if row.name == recipe and row.snapshot_id is not None]
    is_new = corpus not in {row.name for row in rows}
    if is_new and of_recipe and {catalogue.corpus_of(row) for row in of_recipe} == {corpus}:
        return recipe
    return corpus


def model_named(space: Workspace, name: str) -> str:
    """The name, or where it is empty the model that was promoted last.

    Raises:
        LookupError: there is none; or the model that a later run registered has no champion, so that the one promoted last
            may not be the one that is meant: lists both.
    """
    if name:
        return name
    versions = space.catalogue.model_versions()
    names = sorted({row.name for row in versions})
    if not names:
        raise LookupError("no model is registered yet: `mer run` makes one")
    promoted = {
        model: audit[-1].id for model in names if (audit := space.catalogue.promotions(model, "champion"))
    }
    if not promoted:
        if len(names) == 1:
            return names[0]
        raise LookupError(
            f"no model was promoted: expected the name of one (--model), since there are several: {', '.join(names)}; "
            "`mer models` says more of them"
        )
    last = max(promoted, key=promoted.__getitem__)
    newest = max(versions, key=lambda row: row.registration or 0)
    if newest.name not in promoted:
        raise LookupError(
            f"expected the name of a model (--model): {last} was promoted last, and {newest.name}, registered after it, was "
            f"not promoted; --model {newest.name} answers with version {newest.version} all the same, `mer models {newest.name}` "
            "says why it is no champion"
        )
    return last


class AnsweringVersion(NamedTuple):
    """The version that answers for a model."""

    row: ModelVersionRow
    remark: str
    """What to tell of one that is not the champion; empty: nothing."""
    gated: bool
    """Whether it is the champion, or was."""


def answering_version(space: Workspace, name: str, version: int | None = None) -> AnsweringVersion:
    """The version of this number, or the champion, or where a model has no champion its newest version; with what to tell of it.

    Raises:
        LookupError: no such model or version; says which there are.
    """
    champion = space.catalogue.champion(name)
    rows = space.catalogue.model_versions(name)
    if version is None and champion is None and rows:
        chosen = rows[-1]
    else:
        chosen = version_of(space, name, version)
    if champion is not None and chosen.version == champion.version:
        return AnsweringVersion(chosen, "", True)
    reason = next(
        (
            row.reason
            for row in reversed(space.catalogue.promotions(name, None))
            if row.version == chosen.version
        ),
        "never compared",
    )
    champions = [row.version for row in space.catalogue.promotions(name, "champion")]
    if chosen.version in champions:
        return AnsweringVersion(chosen, f"{name} version {chosen.version} was champion before", True)
    remark = f"{name} version {chosen.version} is not gated: {reason.partition(';')[0]}"
    return AnsweringVersion(chosen, remark, False)


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
        version: number of the version; None: the champion, or the newest one of a model without a champion (a warning says so).

    Raises:
        LookupError: the catalogue of this `MER_HOME` has no such model or version.
        ArtifactMissing, ArtifactCorrupt: something of its package is gone or damaged.
    """
    space = reading_workspace()
    chosen, remark, _ = answering_version(space, name, version)
    if remark:
        logging.getLogger(__name__).warning("%s", remark)
    return RegisteredModel(fetch_package(space, chosen), space.weights, chosen.version)
