"""Who is alive: by heartbeats that moved, whatever clocks say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flows.workers.liveness import SILENT_SECONDS, WATCHED_SECONDS, Liveness
from infra.catalogue import ProcessRole, TaskProcessRow


class Watched:
    """A watcher with a clock of its own, and one process."""

    def __init__(self) -> None:
        self.now, self.beat = 0.0, 0
        self.liveness = Liveness(lambda: self.now)

    def pass_time(self, seconds: float, *, beating: bool, step: float = 1.0) -> None:
        for _ in range(round(seconds / step)):
            self.now += step
            self.beat += beating
            self.look()

    def look(self) -> None:
        seen = datetime(1970, 1, 1, tzinfo=UTC)  # no clock of the database counts
        self.liveness.look([TaskProcessRow("w", ProcessRole.WORKER, "host:1", self.beat, seen)])

    @property
    def state(self) -> tuple[bool, bool]:
        return bool(self.liveness.alive()), bool(self.liveness.dead())


@pytest.fixture
def watched() -> Watched:
    made = Watched()
    made.look()
    return made


def test_a_row_alone_says_nothing(watched: Watched) -> None:
    assert watched.state == (False, False)
    watched.pass_time(1, beating=True)
    assert watched.state == (True, False)


def test_a_long_computation_beats_on(watched: Watched) -> None:
    watched.pass_time(10 * SILENT_SECONDS, beating=True)
    assert watched.state == (True, False)


def test_silence_is_death_and_a_new_beat_is_life(watched: Watched) -> None:
    watched.pass_time(5, beating=True)
    watched.pass_time(SILENT_SECONDS - 1, beating=False)
    assert watched.state == (True, False)
    watched.pass_time(1, beating=False)
    assert watched.state == (False, True)
    watched.pass_time(1, beating=True)
    assert watched.state == (True, False)


def test_a_watcher_that_slept_does_not_take_the_others_for_dead(watched: Watched) -> None:
    watched.pass_time(5, beating=True)
    watched.now += 100 * SILENT_SECONDS
    watched.look()
    assert watched.state == (True, False)
    watched.pass_time(SILENT_SECONDS - WATCHED_SECONDS, beating=False)
    assert watched.state == (False, True)


def test_one_that_is_gone_is_not_known(watched: Watched) -> None:
    watched.liveness.look([])
    assert not watched.liveness.known
    assert watched.state == (False, False)
