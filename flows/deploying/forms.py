"""The form that a deployment has in Prefect's page: lists where the choice is known, text beside them where it is open.

Recipes and layouts are those of this code; models and corpora those of the catalogue at the moment of `mer deploy`. A field that
takes more than its list (a recipe's file, a new model's name) has both: a list, and a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from flows.deploying.definitions import FLOWS
from mer.corpora.layouts import READERS
from mer.corpora.options import AUTO
from mer.emotions import EMOTION_SETS
from mer.recipes import recipe_names
from tasks.stage.workspace import Workspace

LISTED, OTHER = "from the list", "another"


@dataclass(frozen=True)
class Choices:
    """What fields offer."""

    closed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Field -> all that it takes."""
    open: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Field -> what is offered; it takes other texts too."""


def known_choices(space: Workspace | None) -> Choices:
    """Recipes and layouts of this code; models, corpora and folders of the catalogue, if there is one."""
    models: list[str] = []
    names: list[str] = []
    roots: list[str] = []
    if space is not None:
        models = sorted({row.name for row in space.catalogue.model_versions()})
        corpora = space.catalogue.corpora()
        names = sorted(row.name for row in corpora)
        roots = sorted({str(row.root) for row in corpora})
    return Choices(
        closed={"format": (AUTO, *(reader.format for reader in READERS))},
        open={
            "recipe": recipe_names(),
            "emotions": ("auto", *EMOTION_SETS),
            "model": models,
            "corpus_name": names,
            "corpus": roots,
        },
    )


def form_of(flow: str, choices: Choices, given: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of a flow's parameters, as the server keeps and the page shows it.

    `given`: options of the deployment; what they say is on the lists too, since the page shows a field by its list first.
    """
    from prefect.utilities.callables import parameter_schema

    found = FLOWS[flow]
    function = getattr(import_module(found.module), found.function)
    schema: dict[str, Any] = parameter_schema(function).model_dump()
    for definition in schema["definitions"].values():
        for name, described in definition.get("properties", {}).items():
            _offer(name, described, choices, given.get(name))
    return schema


def _offer(name: str, described: dict[str, Any], choices: Choices, given: Any) -> None:
    if described.get("type") != "string" or "enum" in described:
        return
    blank = described.get("default") == ""
    if name in choices.closed:
        described["enum"] = list(choices.closed[name])
    elif choices.open.get(name):
        described.pop("type")
        listed = [*([""] if blank else []), *choices.open[name]]
        listed += [given] if isinstance(given, str) and given not in listed else []
        described["anyOf"] = [
            {"type": "string", "enum": listed, "title": LISTED},
            {"type": "string", "title": OTHER},
        ]
