"""Options of the demo corpus."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DemoConfig(BaseModel):
    """Size, difficulty and seed of a demo corpus; equal configs give equal corpora.

    A clip has one true emotion. Each modality shows it only with some probability and shows a confusable
    neighbour otherwise, independently of the others: that is what makes fusion worth while and keeps scores
    below 100 %.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=2024, ge=0, description="Seed of everything that is drawn.")
    clips: int = Field(default=200, ge=12, le=20_000, description="Media files in all, broken ones included.")
    speakers: int = Field(default=10, ge=3, le=10, description="Voices (and faces).")
    unlabelled_share: float = Field(
        default=0.22,
        ge=0,
        le=0.6,
        description="Share of clips without a label; their class prior is shifted.",
    )
    test_share: float = Field(
        default=0.18,
        ge=0,
        le=0.5,
        description="Share of clips in the labelled test split, of speakers of its own.",
    )
    broken: int = Field(
        default=4, ge=0, le=4, description="Files that must be quarantined: one of each kind."
    )
    audio_agreement: float = Field(
        default=0.94, ge=0, le=1, description="Probability that the voice shows the emotion."
    )
    text_agreement: float = Field(
        default=0.64, ge=0, le=1, description="Probability that the words show the emotion."
    )
    face_agreement: float = Field(
        default=0.65, ge=0, le=1, description="Probability that the face shows the emotion."
    )
    picture_size: int = Field(
        default=160, ge=64, le=640, multiple_of=16, description="Side of the video in pixels."
    )
    frames_per_second: int = Field(
        default=15, ge=5, le=30, description="Frame rate of the video, frames per second."
    )
