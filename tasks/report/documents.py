"""Figures that are read from JSON values: what is shown is what stands at the place that the source names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mer.report.figures import Figure, Form


@dataclass(frozen=True)
class Document:
    """A JSON file of an artifact."""

    source: str
    """Name of the artifact, and of its file: `evaluation/report.json`."""
    values: Any

    def value(self, *path: str | int) -> Any:
        """What stands there. Raises KeyError or IndexError."""
        found = self.values
        for step in path:
            found = found[step]
        return found

    def has(self, *path: str | int) -> bool:
        """Whether anything but null stands there."""
        try:
            return self.value(*path) is not None
        except (KeyError, IndexError, TypeError):
            return False

    def names(self, *path: str | int) -> Sequence[str]:
        """Keys of the object there, in their order; none where there is no object."""
        found = self.value(*path) if self.has(*path) else {}
        return list(found) if isinstance(found, Mapping) else []

    def figure(self, *path: str | int, form: Form = "score") -> Figure:
        """The number there; one without a value where there is none."""
        number = self.value(*path) if self.has(*path) else None
        pointer = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
        return Figure(
            value=None if number is None else float(number), source=f"{self.source}#{pointer}", form=form
        )
