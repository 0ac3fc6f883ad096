"""Where registered models are: other packages say it, since this library knows no store.

A package offers its models by an entry point, and needs no change here:

    [project.entry-points."mer.model_sources"]
    catalogue = "tasks.serve.library:registered_version"

The function is called as `find(name, version)`, version None for the champion, and returns the model's package folder, the
folder of converted weights, and its version; it raises LookupError where it has no such model.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

from mer.errors import ConfigError

ENTRY_POINTS = "mer.model_sources"
"""Entry point group of functions (name, version) -> (package folder, weights folder)."""


class RegisteredModel(NamedTuple):
    """A registered version of a model on this machine."""

    folder: Path
    """Package folder."""
    weights: Path
    """Folder of converted weights."""
    version: int


ModelSource = Callable[[str, int | None], tuple[Path, Path, int]]


def registered_model(name: str, version: int | None) -> RegisteredModel:
    """A registered model, from the first source that has it.

    Raises:
        ConfigError: no source is installed, none has the model, or one cannot be loaded.
    """
    answers: list[str] = []
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            find: ModelSource = entry.load()
        except (ImportError, AttributeError) as error:
            answers.append(f"{entry.name}: cannot be loaded ({error})")
            continue
        try:
            return RegisteredModel(*find(name, version))
        except LookupError as error:
            answers.append(f"{entry.name}: {error.args[0] if error.args else error}")
    what = f"{name!r}" if version is None else f"{name!r} version {version}"
    if not answers:
        raise ConfigError(
            f"model {what}: expected a package folder (with package.json), or a registered name; found no such folder, and no "
            f"source of models is installed (entry point group {ENTRY_POINTS})"
        )
    raise ConfigError(
        f"model {what}: expected a package folder (with package.json), or a registered name; {'; '.join(answers)}"
    )
