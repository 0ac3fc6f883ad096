"""How much one request may ask for, and how much waits."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ServiceLimits(BaseModel):
    """Bounds of the service; what is beyond them is refused with a status that says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upload_bytes: int = Field(
        default=64 << 20, ge=1024, le=4 << 30, description="Largest body of a request in bytes; larger: 413."
    )
    upload_seconds: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Longest time in seconds that a body may take to arrive; longer: 408.",
    )
    request_clips: int = Field(default=16, ge=1, le=1024, description="Most clips of one request; more: 413.")
    queue_clips: int = Field(
        default=64, ge=1, le=10_000, description="Most clips that are read or wait for the model; more: 429."
    )
    batch_clips: int = Field(
        default=8, ge=1, le=256, description="Most clips that the model answers together."
    )
    answer_seconds: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Longest time in seconds from a clip's arrival to its answer; longer: 504.",
    )
    clip_seconds: float = Field(
        default=120.0,
        gt=0,
        le=3600,
        description="Longest clip in seconds; a longer one has the status too_long.",
    )
