"""Which kind of system, with which options: what a recipe names and a stage fits. Imports no kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mer.stream_tables import Level


@dataclass(frozen=True)
class SystemChoice:
    """A kind of system and the options of its fit, as JSON values: it travels between processes and is part of stages' keys."""

    kind: str
    """Its name in `mer.systems.kinds.KINDS`."""
    options: Mapping[str, Any]
    """All options of the kind, those at their defaults too."""
    levels: tuple[Level, ...]
    """Levels of the tables that a system of these options reads."""
    vectors: bool = False
    """Where it reads hidden states side by side (`states`), give it the one vector a clip that a fusion reads in their place: for
    comparisons on equal terms. What is served reads what its levels say."""

    @property
    def sources(self) -> dict[Level, Level]:
        """Level that the system reads -> level of the tables that it is given there."""
        return {level: "utterance" if self.vectors and level == "states" else level for level in self.levels}
