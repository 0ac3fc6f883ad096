"""Systems that a recipe names: its fusion, and members of its ensemble of any kind. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from mer.fusion.config import FusionConfig
from mer.systems.choice import SystemChoice
from mer.systems.kinds import KINDS, system_kind

KIND = "kind"
"""Option of a member that names its kind; without it a member is a neural fusion."""
NEURAL, LINEAR, SEARCHED = "neural", "linear", "searched"
"""Kinds that recipes name by what they say: fusions, the logistic regression beside every system, and `ensemble.search`."""
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


def choice_of(kind: str, options: Mapping[str, Any]) -> SystemChoice:
    """A system of a kind that is no fusion, with these of its options.

    Raises:
        ValueError: no such kind for a recipe, or options that it cannot have.
    """
    known = [name for name in KINDS if name != _MADE_OF_MEMBERS]
    if kind not in known:
        raise ValueError(f"kind: expected one of {', '.join(known)}, found {kind!r}")
    implementation = system_kind(kind)
    checked = implementation.options_type.model_validate(options)
    return SystemChoice(kind, checked.model_dump(mode="json"), implementation.levels(checked))


def member_fusion(fusion: FusionConfig, options: Mapping[str, Any]) -> FusionConfig:
    """The fusion of a neural member: the recipe's, with the member's own options."""
    own = {name: value for name, value in options.items() if name != KIND}
    return FusionConfig.model_validate({**fusion.model_dump(), **own})


def member_choice(fusion: FusionConfig, options: Mapping[str, Any]) -> SystemChoice:
    """A member of an ensemble as a choice of system.

    Args:
        fusion: the recipe's, from which neural members differ.
        options: the member's, `kind` among them where it is no fusion.

    Raises:
        ValueError: no such kind, or options that it cannot have.
    """
    if is_neural(options):
        return neural_choice(member_fusion(fusion, options))
    return choice_of(str(options[KIND]), {name: value for name, value in options.items() if name != KIND})
