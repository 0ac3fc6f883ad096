from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import text

from infra.catalogue import Catalogue, Lease
from infra.errors import LeaseHeld, LeaseLost
from tasks.stage.exclusive import PATIENCE_SECONDS


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(catalogue: Catalogue) -> Clock:
    catalogue.clock = Clock()
    return catalogue.clock


def test_one_holder_at_a_time(catalogue: Catalogue, clock: Clock) -> None:
    first = catalogue.acquire_lease("retrain/demo", 60, holder="a")
    with pytest.raises(LeaseHeld) as caught:
        catalogue.acquire_lease("retrain/demo", 60, holder="b")
    assert (caught.value.holder, caught.value.seconds_left, caught.value.transient) == ("a", 60, True)
    catalogue.acquire_lease("retrain/other", 60)
    catalogue.release_lease(first)
    second = catalogue.acquire_lease("retrain/demo", 60, holder="b")
    assert second.token > first.token


def test_renewing_extends(catalogue: Catalogue, clock: Clock) -> None:
    lease = catalogue.acquire_lease("l", 60)
    clock.now += 50
    catalogue.renew_lease(lease, 60)
    clock.now += 50
    with pytest.raises(LeaseHeld):
        catalogue.acquire_lease("l", 60)


def test_a_late_holder_is_fenced_off(catalogue: Catalogue, clock: Clock) -> None:
    late = catalogue.acquire_lease("l", 60)
    clock.now += 61
    newer = catalogue.acquire_lease("l", 60)
    with pytest.raises(LeaseLost):
        catalogue.renew_lease(late, 60)
    catalogue.release_lease(late)  # must not free the newer holder's lease
    with pytest.raises(LeaseHeld):
        catalogue.acquire_lease("l", 60)
    catalogue.renew_lease(newer, 60)


def test_a_lease_that_ran_out_and_that_nobody_took_over_can_be_renewed(
    catalogue: Catalogue, clock: Clock
) -> None:
    lease = catalogue.acquire_lease("l", 60)
    clock.now += 61
    catalogue.renew_lease(lease, 60)
    with pytest.raises(LeaseHeld):
        catalogue.acquire_lease("l", 60)


def test_of_eight_at_once_one_gets_it(catalogue: Catalogue) -> None:
    for round_number in range(5):
        got: list[Lease] = []
        refused: list[LeaseHeld] = []
        gate = threading.Barrier(8)

        def work(
            name: str = f"l{round_number}",
            got: list[Lease] = got,
            gate: threading.Barrier = gate,
            refused: list[LeaseHeld] = refused,
        ) -> None:
            gate.wait()
            try:
                got.append(catalogue.acquire_lease(name, 60))
            except LeaseHeld as error:
                refused.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(got), len(refused)) == (1, 7)


def test_tokens_are_unique_over_leases(catalogue: Catalogue) -> None:
    tokens: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: tokens.append(catalogue.acquire_lease(f"l{n}", 60).token))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(tokens)) == 8


def test_holding_renews_in_the_background_and_releases(catalogue: Catalogue) -> None:
    with catalogue.hold_lease("l", ttl_seconds=1.5) as lease:
        time.sleep(2.5)
        with pytest.raises(LeaseHeld):
            catalogue.acquire_lease("l", 60)
        catalogue.renew_lease(lease, 1.5)
    catalogue.acquire_lease("l", 60)


def test_a_lease_of_before_this_column_is_waited_for(catalogue: Catalogue, clock: Clock) -> None:
    """A home whose lease was written by an older version, in seconds since the epoch."""
    lease = catalogue.acquire_lease("l", 60)
    with catalogue.database.writing() as connection:
        connection.execute(
            text("UPDATE leases SET boot = NULL, process = NULL, ttl_seconds = NULL, expires_at = :at"),
            {"at": 1.9e9},
        )
    with pytest.raises(LeaseHeld) as caught:
        catalogue.acquire_lease("l", 60)
    assert caught.value.seconds_left == 30
    assert PATIENCE_SECONDS > 30, "each run waits anew: one that waits for less is never let in"
    clock.now += 31
    assert catalogue.acquire_lease("l", 60).token > lease.token
