"""Systems that a recipe names: its fusion, and members of its ensemble of any kind. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from mer.fusion.config import FusionConfig
from mer.recipes.ensemble import STREAM_OPTIONS
from mer.systems.choice import SystemChoice
from mer.systems.kinds import KINDS, system_kind

KIND = "kind"
"""Option of a member that names its kind; without it a member is a neural fusion."""
NEURAL, LINEAR, SEARCHED = "neural", "linear", "searched"
"""Kinds that recipes name by what they say: fusions, the logistic regression beside every system, and `ensemble.search`."""
LEARNT = "learnt"
"""After a stream's name: what a view has learnt of it (adapted, aligned)."""
_MADE_OF_MEMBERS = "ensemble"
"""The kind that no member has: its own members would be named elsewhere."""


@contextmanager
def located(path: str) -> Iterator[None]:
    """Say of problems with options that are validated as others' where they stand."""
    try:
        yield
    except ValidationError as error:
        problems = (
            f"{'.'.join((path, *map(str, problem['loc'])))}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise ValueError("; ".join(problems)) from error


def is_neural(options: Mapping[str, Any]) -> bool:
    """Whether a member is a fusion."""
    return bool(options.get(KIND, NEURAL) == NEURAL)


def neural_choice(fusion: FusionConfig) -> SystemChoice:
    """A fusion as a choice of system."""
    return SystemChoice(NEURAL, fusion.model_dump(mode="json"), (fusion.level,))


def choice_of(kind: str, options: Mapping[str, Any], tables: Mapping[str, str]) -> SystemChoice:
    """A system of a kind that is no fusion, with these of its options.

    Args:
        kind: name of the kind.
        options: those that differ from its defaults; they call streams by their names in the recipe.
        tables: name of a stream that is read -> name of its table, which the system is given.

    Raises:
        ValueError: no such kind for a recipe, options that it cannot have, or streams that are not read.
    """
    known = [name for name in KINDS if name != _MADE_OF_MEMBERS]
    if kind not in known:
        raise ValueError(f"kind: expected one of {', '.join(known)}, found {kind!r}")
    implementation = system_kind(kind)
    checked = implementation.options_type.model_validate(_with_tables(options, tables))
    return SystemChoice(kind, checked.model_dump(mode="json"), implementation.levels(checked))


def _with_tables(options: Mapping[str, Any], tables: Mapping[str, str]) -> dict[str, Any]:
    """The options with tables where they name streams, or what a view has learnt of them (`NAME/learnt`)."""

    def table(name: Any) -> str:
        stream, _, learnt = str(name).partition("/")
        if stream not in tables or learnt not in ("", LEARNT):
            raise ValueError(f"{option}: expected some of {', '.join(tables)}, found {str(name)[:60]!r}")
        return f"{tables[stream]}/{learnt}" if learnt else tables[stream]

    renamed = dict(options)
    for option in STREAM_OPTIONS:
        named = options.get(option)
        if isinstance(named, Mapping):
            renamed[option] = {table(name): value for name, value in named.items()}
        elif isinstance(named, Sequence) and not isinstance(named, str):
            renamed[option] = [table(name) for name in named]
    return renamed


def member_fusion(fusion: FusionConfig, options: Mapping[str, Any]) -> FusionConfig:
    """The fusion of a neural member: the recipe's, with the member's own options."""
    own = {name: value for name, value in options.items() if name != KIND}
    return FusionConfig.model_validate({**fusion.model_dump(), **own})


def member_choice(
    fusion: FusionConfig, options: Mapping[str, Any], tables: Mapping[str, str]
) -> SystemChoice:
    """A member of an ensemble as a choice of system.

    Args:
        fusion: the recipe's, from which neural members differ.
        options: the member's, `kind` among them where it is no fusion.
        tables: as of `choice_of`.

    Raises:
        ValueError: as of `choice_of`.
    """
    if is_neural(options):
        return neural_choice(member_fusion(fusion, options))
    own = {name: value for name, value in options.items() if name != KIND}
    return choice_of(str(options[KIND]), own, tables)
