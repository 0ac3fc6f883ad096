"""All parts of the service, in the order of the navigation. A new one is a line here."""

from __future__ import annotations

from flows.service import health, review
from flows.service.part import Part

PARTS: tuple[Part, ...] = (health.PART, review.PART)
