"""Night after night: after the retention window nothing grows, the champion answers, and an equal run computes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from aged_home import pass_days
from fault_report import Faults
from invariants import check_invariants
from nights import Nights

from tasks.prune.run import PrunePlan, prune
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.fault
CHAMPIONS = 3
"""Whose artifacts and snapshots stay, however old they are."""
SLACK = 0.05
"""By how much of it a count may grow after the window: names and numbers of more digits."""


@pytest.mark.parametrize(
    ("nights", "days", "tracked_every", "champion_every"),
    [(30, 5, 10, 4), pytest.param(500, 30, 1, 10, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])],
)
def test_nights_on_which_nothing_grows_after_the_window(
    nights: int,
    days: int,
    tracked_every: int,
    champion_every: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faults: Faults,
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MER_RETENTION_DAYS", str(days))
    monkeypatch.setenv("MER_RETENTION_VERSIONS", str(CHAMPIONS))
    space = workspace()
    simulated, plan = Nights(space, champion_every), PrunePlan(days=days)
    counts = []
    for night in range(nights):
        pass_days(space.settings, 1)
        simulated.new_clips()
        assert any(result.ran for result in simulated.run(track=night % tracked_every == 0))
        prune(space, plan)
        simulated.serves()
        counts.append(simulated.counts())
    faults.row, faults.injected = "nights, each with a clean-up", nights
    settled = counts[days + CHAMPIONS * champion_every :]
    growing = {
        name: rates
        for name in counts[-1]
        if (rates := _growth([count.get(name, 0) for count in settled])) > SLACK
    }
    assert not growing, {name: [count.get(name, 0) for count in settled] for name in growing}
    assert counts[-1]["artifacts"] > 8 * days, "what the window keeps is there"
    assert not any(result.ran for result in simulated.run()), "an equal run finds all"
    assert simulated.counts() == counts[-1]
    pass_days(space.settings, 1)
    prune(space, plan)
    assert not any(result.ran for result in simulated.run())
    check_invariants(space.settings, recovered=True)


def _growth(values: list[int]) -> float:
    """How much higher the second half of the values gets than the first, as a share of it (they rise and fall with champions)."""
    first, second = max(values[: len(values) // 2]), max(values[len(values) // 2 :])
    return 0.0 if second <= first else (second - first) / max(first, 1)
