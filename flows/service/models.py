"""Models, their versions, and who made which of them champion, when and why."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from flows.service.part import Page, Part
from flows.service.problems import Refused, described
from flows.service.state import Service
from infra.catalogue import ModelVersionRow, PromotionRow

_ALIASES = ("champion", "challenger")


class Model(BaseModel):
    """A line of versions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    versions: int = Field(ge=1)
    champion: int | None = Field(description="Version that is served; null: none was promoted.")
    served: bool = Field(description="Whether this service answers with it.")


class Models(BaseModel):
    """All models, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[Model, ...]


class Version(BaseModel):
    """A registered version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    aliases: tuple[str, ...] = Field(description="champion, challenger.")
    registered: datetime
    retired: datetime | None = Field(description="When its artifacts were given up; null: they are kept.")
    scores: dict[str, float] = Field(description="waf (out of fold), accuracy, holdout_waf, ...")
    origin: dict[str, str] = Field(
        description="Recipe, corpus, code, commit, run and who started it, where that is known."
    )


class Decision(BaseModel):
    """An entry of the audit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    version: int
    previous: int | None = Field(description="Version that the alias pointed at before.")
    alias: str
    action: str = Field(description="set, rollback, approved, waiting, refused, expired.")
    actor: str | None = Field(description="Who decided; null: that was not noted then.")
    reason: str


class ModelHistory(BaseModel):
    """A model with its versions and the audit of its aliases, newest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    versions: tuple[Version, ...]
    decisions: tuple[Decision, ...]


def router(service: Service) -> APIRouter:
    """Read-only: who may change a champion has the command line."""
    routes = APIRouter(prefix="/api/models", tags=["models"], responses=described(503))

    @routes.get("", summary="All models")
    def models() -> Models:
        rows = service.space.catalogue.model_versions()
        aliases = service.space.catalogue.aliases()
        served = service.readiness.model
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.name] = counts.get(row.name, 0) + 1
        return Models(
            models=tuple(
                Model(
                    name=name,
                    versions=count,
                    champion=aliases.get(name, {}).get("champion"),
                    served=served is not None and served.name == name,
                )
                for name, count in counts.items()
            )
        )

    @routes.get("/{name}", summary="Versions and audit of a model", responses=described(404, 422))
    def model(name: Annotated[str, Path(max_length=300)]) -> ModelHistory:
        rows = [] if "\x00" in name else service.space.catalogue.model_versions(name)
        if not rows:
            known = sorted({row.name for row in service.space.catalogue.model_versions()})
            listed = f"one of {', '.join(known)}" if known else "none yet: `mer run` makes one"
            raise Refused(404, "not_found", f"expected the name of a model ({listed}), found {name[:100]!r}")
        aliases = service.space.catalogue.aliases().get(name, {})
        audit = service.space.catalogue.promotions(name, None)
        return ModelHistory(
            name=name,
            versions=tuple(_version(row, aliases) for row in reversed(rows)),
            decisions=tuple(map(_decision, reversed(audit))),
        )

    return routes


def _version(row: ModelVersionRow, aliases: dict[str, int]) -> Version:
    scores = {
        name: float(value)
        for name, value in row.metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    return Version(
        version=row.version,
        aliases=tuple(alias for alias in _ALIASES if aliases.get(alias) == row.version),
        registered=_utc(row.created_at),
        retired=None if row.retired_at is None else _utc(row.retired_at),
        scores=scores,
        origin=dict(row.origin or {}),
    )


def _decision(row: PromotionRow) -> Decision:
    return Decision(
        at=_utc(row.created_at),
        version=row.version,
        previous=row.previous_version,
        alias=row.alias,
        action=row.action,
        actor=row.actor,
        reason=row.reason,
    )


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


PART = Part(name="models", router=router, page=Page("models", "Models"))
