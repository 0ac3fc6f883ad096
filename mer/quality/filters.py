"""Leaving out clips by their quality, and saying how many and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from mer.quality.measure import ClipQuality

UNMEASURED = "unmeasured"


@dataclass(frozen=True)
class FilterReport:
    """Result of a filter: clips that pass, and clips that are left out."""

    passed: tuple[str, ...]
    """Clip ids, in the order given."""
    left_out: dict[str, tuple[str, ...]]
    """Every bound (the field's name, or `unmeasured`) a left-out clip fails, by clip id."""

    @property
    def counts(self) -> dict[str, int]:
        """Clips by bound, most first; a clip that fails two counts in both."""
        return dict(Counter(reason for reasons in self.left_out.values() for reason in reasons).most_common())

    def __str__(self) -> str:
        """One line for a person."""
        total = len(self.passed) + len(self.left_out)
        why = ", ".join(f"{reason}: {count}" for reason, count in self.counts.items())
        return f"{len(self.left_out)} of {total} clips left out" + (f" ({why})" if why else "")


class QualityFilter(BaseModel):
    """Bounds on the quality of clips; a bound that is not set keeps everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_duration_seconds: float | None = Field(default=None, ge=0, description="Shortest clip, seconds.")
    max_duration_seconds: float | None = Field(default=None, gt=0, description="Longest clip, seconds.")
    min_speech_seconds: float | None = Field(default=None, ge=0, description="Least speech, seconds.")
    min_snr_db: float | None = Field(
        default=None, ge=-10, le=60, description="Least ratio of speech to noise, decibels."
    )
    min_face_share: float | None = Field(
        default=None, ge=0, le=1, description="Least share of sampled frames with a face, 0..1."
    )
    min_brightness: float | None = Field(
        default=None, ge=0, le=1, description="Darkest clip, mean luma 0..1."
    )
    max_brightness: float | None = Field(
        default=None, ge=0, le=1, description="Brightest clip, mean luma 0..1."
    )
    unknown: Literal["keep", "leave_out"] = Field(
        default="keep",
        description="What becomes of a clip without the value a bound asks for (no such stream, not measured).",
    )

    def failures(self, quality: ClipQuality | None) -> tuple[str, ...]:
        """Bounds the clip fails, by field name; `unmeasured` once where values are missing and may not be."""
        failed: list[str] = []
        missing = False
        for bound, limit in self.model_dump(exclude={"unknown"}, exclude_none=True).items():
            side, _, column = bound.partition("_")
            value: float | None = getattr(quality, column, None)
            if value is None:
                missing = True
            elif value < limit if side == "min" else value > limit:
                failed.append(bound)
        if missing and self.unknown == "leave_out":
            failed.append(UNMEASURED)
        return tuple(failed)

    def apply(self, measured: Mapping[str, ClipQuality | None]) -> FilterReport:
        """Divide clips (by id) into those that pass and those left out."""
        failures = {clip_id: self.failures(quality) for clip_id, quality in measured.items()}
        return FilterReport(
            passed=tuple(clip_id for clip_id, failed in failures.items() if not failed),
            left_out={clip_id: failed for clip_id, failed in failures.items() if failed},
        )
