"""All parts of the service, in the order of the navigation. A new one is a line here."""

from __future__ import annotations

from flows.service import corpora, health, models, predict, review, runs
from flows.service.part import Part

PARTS: tuple[Part, ...] = (
    predict.PART,
    review.PART,
    models.PART,
    runs.PART,
    corpora.PART,
    health.PART,
)
