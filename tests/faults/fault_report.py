"""The report of the fault suite: faults injected, invariants held, seconds, by row of the fault table.

A test says what it injected by the fixture `faults`:

    def test_store_goes_down(faults: Faults) -> None:
        faults.row = "object store down"
        faults.injected += 5

It travels to the end of the session as a property of the test's report, from the workers of xdist too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

PROPERTY = "faults"


@dataclass
class Faults:
    """What a test injected, under which row of the fault table."""

    row: str
    injected: int = 0
    held: Counter[str] = field(default_factory=Counter)

    def to_text(self) -> str:
        """For a property of a test's report."""
        return json.dumps([self.row, self.injected, dict(self.held)])


def report_lines(reports: Iterable[tuple[str, str, float]]) -> list[str]:
    """The table; `reports` are (text of `Faults`, outcome, seconds) of every test."""
    rows: dict[str, list[float]] = {}
    held: dict[str, Counter[str]] = {}
    for text, outcome, seconds in reports:
        row, injected, counted = json.loads(text)
        entry = rows.setdefault(row, [0, 0, 0, 0.0])
        for place, more in enumerate((1, outcome != "passed", injected, seconds)):
            entry[place] += more
        held.setdefault(row, Counter()).update(counted)
    lines = [f"{'fault':<44} {'tests':>5} {'failed':>6} {'faults':>7} {'seconds':>8}  invariants checked"]
    for row, (tests, failed, injected, seconds) in sorted(rows.items()):
        counted = " ".join(
            f"{name}:{count}" for name, count in sorted(held[row].items(), key=lambda item: int(item[0][1:]))
        )
        lines.append(
            f"{row[:44]:<44} {tests:>5.0f} {failed:>6.0f} {injected:>7.0f} {seconds:>8.1f}  {counted}"
        )
    totals = [sum(entry[place] for entry in rows.values()) for place in range(4)]
    every = sum((counter for counter in held.values()), Counter())
    lines.append(
        f"{'all':<44} {totals[0]:>5.0f} {totals[1]:>6.0f} {totals[2]:>7.0f} {totals[3]:>8.1f}  {sum(every.values())} checks"
    )
    return lines
