"""Runs that nobody watches: what may pass is tried again with pauses that differ, what will not pass is not."""

from __future__ import annotations

import pytest

from flows import unattended
from flows.unattended import FIRST_PAUSE_SECONDS, JITTER, ended_in_time, with_retries
from infra.errors import CatalogueError, StoreUnavailable
from infra.settings import Settings
from mer.errors import ConfigError


class Work:
    """Fails some times, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_what_may_pass_is_tried_again() -> None:
    pauses: list[float] = []
    work = Work(StoreUnavailable("down"), StoreUnavailable("down"))
    assert with_retries(work, 2, pauses.append) == "done"
    assert work.calls == 3
    least = [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS]
    assert all(low <= pause <= low * (1 + JITTER) for low, pause in zip(least, pauses, strict=True))


def test_pauses_are_drawn_anew() -> None:
    first = [_pause(seed) for seed in range(20)]
    assert len(set(first)) == 20 and max(first) - min(first) > FIRST_PAUSE_SECONDS * JITTER / 2


def _pause(seed: int) -> float:
    pauses: list[float] = []
    with_retries(Work(StoreUnavailable("down")), 1, pauses.append, seed)
    return pauses[0]


def test_after_the_last_attempt_the_error_stands() -> None:
    work = Work(*[StoreUnavailable(f"down {number}") for number in range(9)])
    with pytest.raises(StoreUnavailable, match="down 2"):
        with_retries(work, 2, lambda _: None)
    assert work.calls == 3


@pytest.mark.parametrize("error", [CatalogueError("no such row"), ConfigError("wrong"), ValueError("bug")])
def test_what_will_not_pass_ends_the_run_at_once(error: Exception) -> None:
    work = Work(error)
    with pytest.raises(type(error)):
        with_retries(work, 5, lambda _: pytest.fail("waited"))
    assert work.calls == 1


def test_a_run_far_past_its_time_is_ended(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    ended, said = threading.Event(), []
    monkeypatch.setattr(unattended, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(unattended, "end_process", lambda message: (said.append(message), ended.set()))
    short = settings.model_copy(update={"run_timeout_hours": 0.05 / 3600})
    with ended_in_time(short):
        assert ended.wait(5)
    assert "MER_RUN_TIMEOUT_HOURS" in said[0]
    ended.clear()
    with ended_in_time(short.model_copy(update={"run_timeout_hours": 0.2 / 3600})):
        pass
    assert not ended.wait(0.4), "one that ended in time is left alone"
