"""Which hidden states of its encoder a fusion reads of a stream, as an option of the stream. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class StatesRead(BaseModel):
    """A contiguous block of pooled hidden states, averaged into one vector (our reconstruction: neither the challenge's sum
    of the last four nor the papers say how a searched block is read).

    The layer study, the adaptation and the alignment go by the state that the study chose, whatever is read here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: int | None = Field(
        default=None,
        ge=0,
        description="First hidden state (0 = front end); none: the one state that the view's layer study chose.",
    )
    length: int = Field(
        default=1, ge=1, le=200, description="Neighbouring hidden states whose pooled vectors are averaged."
    )
    pooling: Literal["mean", "mean_std"] | None = Field(
        default=None,
        description="What is read of the vectors pooled over time: all (none, or as the features are), or of "
        "mean_std the means alone.",
    )

    @model_validator(mode="after")
    def _block_begins(self) -> StatesRead:
        if self.start is None and self.length > 1:
            raise ValueError("length: a block of several hidden states needs its `start`")
        return self

    def states(self, studied: int | None) -> tuple[int, ...] | None:
        """Indices of the hidden states read; None for features without an axis of hidden states.

        Args:
            studied: the state that the view's layer study chose; None: there was no study.
        """
        start = studied if self.start is None else self.start
        return None if start is None else tuple(range(start, start + self.length))
