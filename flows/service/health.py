"""Whether the process lives, whether it can answer, and what it counted."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from flows.service.part import Part
from flows.service.problems import described
from flows.service.state import Service
from infra.metrics.page import CONTENT_TYPE


class Health(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: str = Field(default="ok", examples=["ok"])


class Ready(BaseModel):
    """What answers for clips."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(examples=["clips"])
    version: int = Field(ge=1)
    emotions: tuple[str, ...] = Field(description="Classes in their order.")
    streams: tuple[str, ...] = Field(description="Streams that it reads, as features are named in requests.")
    modalities: tuple[str, ...] = Field(description="Their modalities.")
    gated: bool = Field(description="Whether the promotion gate, or a person, let it pass.")
    remark: str = Field(
        description="What there is to say of it, or what keeps a newer champion out; empty: nothing."
    )
    waiting: int = Field(ge=0, description="Clips that wait or are being answered.")


def router(service: Service) -> APIRouter:
    """`/health` needs no token; it says nothing of models or stores."""
    routes = APIRouter(tags=["health"])

    @routes.get("/health", summary="Whether the process answers")
    async def health() -> Health:
        return Health()

    @routes.get("/ready", summary="Whether a model answers, and which", responses=described(503))
    async def ready() -> Ready:
        model = service.model
        return Ready(
            model=model.name,
            version=model.version,
            emotions=model.emotions,
            streams=model.predictor.system.streams,
            modalities=model.modalities,
            gated=model.gated,
            remark=service.readiness.remark,
            waiting=service.queue.clips,
        )

    @routes.get(
        "/metrics",
        summary="What the service counted, for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(service.metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    return routes


PART = Part(name="health", router=router)
