"""What is known of processes at work from outside: their events as JSON lines, and what they count.

    with logged(stage="fusion", label="fusion of fold2"):          whatever is logged inside says so
        record(INFO, "tasks.stage", "computed in 3.2 s")
    count("mer_stages_total", stage="fusion", outcome="computed")

Nothing of it may end or delay a run: what cannot be written is left out, what cannot be counted now is counted later.
"""

from __future__ import annotations

from infra.observing.begin import observe, observe_if_asked, shows_events
from infra.observing.context import logged
from infra.observing.events import ERROR, INFO, WARNING, record
from infra.observing.totals import count, count_restart, flush_totals, set_latest

__all__ = [
    "ERROR",
    "INFO",
    "WARNING",
    "count",
    "count_restart",
    "flush_totals",
    "logged",
    "observe",
    "observe_if_asked",
    "record",
    "set_latest",
    "shows_events",
]
