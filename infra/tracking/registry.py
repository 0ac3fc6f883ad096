"""MLflow's model registry as a mirror of the catalogue: derived from it as a whole, whatever became of single changes.

A version there holds the address and sha256 of an artifact (tags `mer.*`), no weights; its number is MLflow's and may differ
from ours. It is ours if our number and the sha256 are the same. What the registry holds beyond that is said and left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from infra.tracking.spool import EventRefused

VERSION_TAG, SHA256_TAG = "mer.version", "mer.sha256"
ALIASES = ("champion", "challenger")
"""Aliases that are mirrored; others are left alone."""


@dataclass(frozen=True)
class RegistryVersion:
    """A version of the catalogue as it is to be in the registry."""

    number: int
    """Ours."""
    source: str
    """Address of a scheme of our own: MLflow's server refuses local files as source, and must never load any."""
    tags: Mapping[str, str]
    evaluation: str | None
    """`KIND/KEY` of its evaluation, whose tracked run leads to the run that made the version."""
    description: str = ""
    """For people (Markdown); written when the version is made there, and not compared: somebody may have added to it."""


@dataclass(frozen=True)
class RegistryModel:
    """A model of the catalogue as it is to be in the registry."""

    name: str
    versions: Sequence[RegistryVersion]
    aliases: Mapping[str, int]
    """Alias -> our number of the version."""


@dataclass
class MirroredModel:
    """A model as the registry has it."""

    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    """MLflow's number -> tags."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Alias -> MLflow's number."""

    def number_of(self, version: RegistryVersion) -> str | None:
        """MLflow's number of our version; None: the registry lacks it."""
        same = (str(version.number), version.tags[SHA256_TAG])
        numbers = [
            n for n, tags in self.versions.items() if (tags.get(VERSION_TAG), tags.get(SHA256_TAG)) == same
        ]
        return min(numbers, key=int, default=None)


class Registry(Protocol):
    """A registry, by its REST interface or as a database. Each method raises TrackingDown or EventRefused."""

    def read(self) -> dict[str, MirroredModel]:
        """Every model by name."""

    def create_model(self, name: str) -> None:
        """Make a model, unless it is there."""

    def create_version(self, name: str, version: RegistryVersion, run_id: str | None) -> str:
        """Make a version; returns MLflow's number."""

    def tag_version(self, name: str, number: str, key: str, value: str) -> None:
        """Set a tag of a version."""

    def point_alias(self, name: str, alias: str, number: str) -> None:
        """Point an alias at a version."""

    def remove_alias(self, name: str, alias: str) -> None:
        """Remove an alias."""

    def run_that_made(self, evaluation: str) -> str | None:
        """MLflow's id of the run whose stage made this evaluation; None: it has no such run."""


def differences(model: RegistryModel, mirrored: MirroredModel | None) -> list[str]:
    """What the registry lacks or has otherwise, for people; empty: it agrees."""
    mirrored = mirrored or MirroredModel()
    numbers = {version.number: mirrored.number_of(version) for version in model.versions}
    lines = [f"lacks version {ours}" for ours, theirs in numbers.items() if theirs is None]
    for alias in ALIASES:
        ours, theirs = model.aliases.get(alias), mirrored.aliases.get(alias)
        if (numbers.get(ours) if ours is not None else None) != theirs or (
            ours is not None and theirs is None
        ):
            lines.append(f"says {alias} is {_called(mirrored, theirs)}")
    return lines


def unknown_versions(model: RegistryModel, mirrored: MirroredModel | None) -> list[str]:
    """Versions that the registry has as ours (by their tags), and the catalogue has not."""
    mirrored = mirrored or MirroredModel()
    ours = {(str(version.number), version.tags[SHA256_TAG]) for version in model.versions}
    return [
        _called(mirrored, number)
        for number, tags in mirrored.versions.items()
        if VERSION_TAG in tags and (tags[VERSION_TAG], tags.get(SHA256_TAG)) not in ours
    ]


@dataclass(frozen=True)
class Mirrored:
    """What was done to make a registry equal."""

    changed: Sequence[str] = ()
    """Each change that was made."""
    refused: Sequence[str] = ()
    """Models that MLflow does not take as they are, with its reason."""
    failed: str = ""
    """Why it was not finished: the next start goes on; empty: it was."""


def mirror(registry: Registry, models: Sequence[RegistryModel]) -> Mirrored:
    """Make the registry equal to the catalogue. Raises TrackingDown; whatever was changed until then stays."""
    mirrored = registry.read()
    changed: list[str] = []
    refused: list[str] = []
    for model in models:
        try:
            there = mirrored.get(model.name)
            if there is None:
                registry.create_model(model.name)
                there = MirroredModel()
            changed.extend(_mirror_model(registry, model, there))
        except EventRefused as error:
            refused.append(f"{model.name}: {error}")
    return Mirrored(changed, refused)


def _mirror_model(registry: Registry, model: RegistryModel, there: MirroredModel) -> Iterator[str]:
    numbers: dict[int, str] = {}
    for version in model.versions:
        number = there.number_of(version)
        if number is None:
            run_id = registry.run_that_made(version.evaluation) if version.evaluation else None
            number = registry.create_version(model.name, version, run_id)
            yield f"{model.name} version {version.number}"
        else:
            tags = there.versions[number]
            for key, value in version.tags.items():
                if tags.get(key) != value:
                    registry.tag_version(model.name, number, key, value)
                    yield f"{key} of {model.name} version {version.number}"
        numbers[version.number] = number
    for alias in ALIASES:
        ours, theirs = model.aliases.get(alias), there.aliases.get(alias)
        if ours is not None and theirs != numbers[ours]:
            registry.point_alias(model.name, alias, numbers[ours])
            yield f"{alias} of {model.name}: version {ours}"
        elif ours is None and theirs is not None:
            registry.remove_alias(model.name, alias)
            yield f"{alias} of {model.name}: none"


def _called(mirrored: MirroredModel, number: str | None) -> str:
    if number is None:
        return "none"
    tags = mirrored.versions.get(number, {})
    if VERSION_TAG not in tags:
        return f"MLflow's version {number}, which is none of ours"
    return f"version {tags[VERSION_TAG]} (sha256 {tags.get(SHA256_TAG, '?')[:12]})"
