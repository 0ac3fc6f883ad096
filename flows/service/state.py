"""What the routes of the service share: the stores of one home, its limits, and what answers for clips."""

from __future__ import annotations

from dataclasses import dataclass, field

from flows.service.limits import ServiceLimits
from infra.settings import Settings
from tasks.stage.workspace import Workspace


@dataclass(frozen=True)
class Service:
    """One for each application; a route gets it when its router is made."""

    space: Workspace
    """Catalogue, artifacts, tracker; safe among threads."""
    limits: ServiceLimits = field(default_factory=ServiceLimits)

    @property
    def settings(self) -> Settings:
        """Of the home."""
        return self.space.settings
