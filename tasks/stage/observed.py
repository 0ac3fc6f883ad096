"""What is said and counted of a stage, in the one place that runs it: events inside name it, its end is an event and a count."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from infra.observing import INFO, WARNING, count, logged, record

FOUND, COMPUTED, FAILED = "found", "computed", "failed"
STAGES, STAGE_SECONDS = "mer_stages_total", "mer_stage_seconds_total"
_LOGGER = "tasks.stage"


@dataclass
class ObservedStage:
    """How a stage ended; whoever runs it says so."""

    kind: str
    label: str
    clips: int = 0
    """Clips whose features it extracts; 0: it extracts none."""
    stream: str = ""
    """Whose features these are."""
    outcome: str = FOUND

    def ended(self, *, ran: bool, seconds: float) -> None:
        """It has its result: computed in so many seconds without waiting (`ran`), or it was there."""
        if not ran:
            record(INFO, _LOGGER, f"{self.label}: found", outcome=FOUND)
            return
        self.outcome = COMPUTED
        count(STAGE_SECONDS, seconds, stage=self.kind)
        said = f"{self.label}: computed in {seconds:.2f} s"
        record(INFO, _LOGGER, said, outcome=COMPUTED, seconds=round(seconds, 3))
        if self.clips:
            count("mer_clips_extracted_total", self.clips, stream=self.stream)


@contextmanager
def observed_stage(
    kind: str, label: str | None, parent_run: str | None, shard: str | None = None
) -> Iterator[ObservedStage]:
    """Run a stage inside: an error that leaves it is counted and recorded, and raised.

    Args:
        kind: of the stage.
        label: what it is for; None: its kind.
        parent_run: name of the tracked run; None: as known.
        shard: key of a shard of features.
    """
    stage = ObservedStage(kind, label or kind)
    began = time.monotonic()
    with logged(stage=kind, label=label, tracked_run=parent_run, shard=shard):
        try:
            yield stage
        except BaseException as error:
            stage.outcome = FAILED
            seconds = time.monotonic() - began
            said = f"{stage.label}: ended by {type(error).__name__} after {seconds:.1f} s: {error}"
            record(WARNING, _LOGGER, said, outcome=FAILED, seconds=round(seconds, 3))
            raise
        finally:
            count(STAGES, stage=kind, outcome=stage.outcome)
