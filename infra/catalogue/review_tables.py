"""Tables of votes of annotators, of reviews, and of who is reviewing what at the moment."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from infra.catalogue.tables import Base, Content
from infra.catalogue.utc_time import UtcTime, utc_now


class LabelVote(Base):
    """What one annotator of the corpus said of a clip, as its owner's table has it."""

    __tablename__ = "label_votes"
    __table_args__ = (Index(None, "corpus_id", "name"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id"))
    name: Mapped[str] = mapped_column(Text)
    annotator: Mapped[str | None] = mapped_column(Text)
    """None: votes were counted, by nobody knows whom."""
    emotion: Mapped[str | None] = mapped_column(String(50))
    weight: Mapped[float] = mapped_column(Float)
    valence: Mapped[float | None] = mapped_column(Float)


class Review(Base):
    """A decision of a reviewer, or that one is taken back: written once, never changed."""

    __tablename__ = "reviews"
    __table_args__ = (Index(None, "corpus_id", "name"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    """Idempotency key: the same decision sent twice is one."""
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id"))
    name: Mapped[str] = mapped_column(Text)
    content: Mapped[str] = mapped_column(Content)
    """What lay under the name when it was reviewed."""
    annotator: Mapped[str] = mapped_column(String(200))
    decision: Mapped[str] = mapped_column(String(20))
    weights: Mapped[dict[str, float]] = mapped_column(JSON)
    """Emotion -> weight; empty where the reviewer cannot tell."""
    owner_emotion: Mapped[str | None] = mapped_column(String(50))
    """The corpus owner's label at that time."""
    shown: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What the reviewer was shown: opinion, its source and confidence, model and version, order of the queue."""
    seconds: Mapped[float | None] = mapped_column(Float)
    """From showing the clip to the decision."""
    undoes: Mapped[int | None] = mapped_column(Integer)
    """The review that is taken back."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)


class ReviewClaim(Base):
    """Who has a clip before them: nobody else gets it until it is decided, given back, or `expires_at` is over."""

    __tablename__ = "review_claims"

    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    annotator: Mapped[str] = mapped_column(String(200))
    token: Mapped[str] = mapped_column(String(32))
    """Random (hex): a decision under another one is refused, whatever a clock says."""
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
