"""What MLflow has not got yet, and what it refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.markup import escape

from flows.ages import age_text
from tasks.stage.workspace import Workspace


def tracking(space: Workspace) -> Iterator[str]:
    """A line where events wait, and one for each reason of a refusal."""
    if (waiting := space.tracker.backlog()) is not None:
        why = f" ({escape(waiting.reason)})" if waiting.reason else ""
        yield (
            f"{waiting.count} tracking events wait for MLflow, the oldest for {age_text(waiting.oldest_seconds)}{why}; they are "
            "sent at the next start of a flow or by `mer up`"
        )
    reasons = Counter(event.reason for event in space.tracker.refused())
    for reason, count in reasons.items():
        yield (
            f"refused by MLflow: {count} tracking events ({escape(reason)}); kept in "
            f"{escape(str(space.settings.spool_folder / 'refused'))}, `mer up` sends them once more"
        )
