"""Whether the process lives and whether it can answer."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from flows.service.part import Part
from flows.service.problems import described
from flows.service.state import Service


class Health(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: str = Field(default="ok", examples=["ok"])


def router(service: Service) -> APIRouter:
    """`/health` needs no token; it says nothing of models or stores."""
    routes = APIRouter(tags=["health"])

    @routes.get("/health", summary="Whether the process answers", responses=described(405))
    async def health() -> Health:
        return Health()

    return routes


PART = Part(name="health", router=router)
