"""The clock is set while somebody holds a lease or writes: nobody is locked out for the difference, and never do two hold it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_report import Faults
from invariants import check_invariants
from sqlalchemy import text

from infra.catalogue import Catalogue, Lease, open_catalogue
from infra.errors import LeaseHeld, LeaseLost
from infra.objects.folder import STAGING, FolderStore
from infra.settings import Settings

pytestmark = pytest.mark.fault

ROW = "clock steps"
HOUR = 3600.0
STEPS = (-HOUR, +HOUR, -10 * 365.25 * 24 * HOUR)
TTL = 1.2
SetClock = Callable[[float], None]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, settings: Settings) -> str:
    if request.param == "sqlite":
        return settings.database_url.get_secret_value()
    fresh: Callable[[], str] = request.getfixturevalue("fresh_postgres")
    return fresh()


@pytest.fixture
def set_clock(url: str, monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets what this process and the database server take for the time of day."""
    real = time.time

    def step(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)
        if not url.startswith("postgresql"):
            return
        import psycopg

        database = url.rpartition("/")[2]
        with psycopg.connect(url, autocommit=True) as connection:
            # The server's own clock cannot be set here: its function is hidden by one that is off by the step.
            connection.execute(
                "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
                f"$$ SELECT pg_catalog.clock_timestamp() + interval '{seconds} seconds' $$".encode()
            )
            connection.execute(f'ALTER DATABASE "{database}" SET search_path = public, pg_catalog'.encode())

    return step


def of_another_machine(catalogue: Catalogue) -> None:
    """What this process holds looks as if a process of another machine held it."""
    with catalogue.database.writing() as connection:
        connection.execute(text("UPDATE leases SET boot = 'another', process = 'another/pid:[1]/1/1'"))
    catalogue._seen.clear()


@pytest.mark.parametrize("step", STEPS)
def test_a_lease_outlives_every_step_and_ends_with_its_holder(
    url: str, step: float, set_clock: SetClock, faults: Faults
) -> None:
    faults.row, faults.injected = ROW, 1
    with open_catalogue(url) as holder:
        lease = holder.acquire_lease("retrain/m", TTL)
        set_clock(step)
        with open_catalogue(url) as other:
            with pytest.raises(LeaseHeld) as refused:
                other.acquire_lease("retrain/m", TTL)
            assert 0 < refused.value.seconds_left <= TTL
            holder.renew_lease(lease, TTL)
            time.sleep(TTL / 2)
            with pytest.raises(LeaseHeld):
                other.acquire_lease("retrain/m", TTL)
            time.sleep(TTL)
            newer = other.acquire_lease("retrain/m", TTL)  # nobody renewed it: free, whatever the clock says
            with pytest.raises(LeaseLost):
                holder.renew_lease(lease, TTL)
            assert newer.token > lease.token


@pytest.mark.parametrize("url", ["postgres"], indirect=True)  # a database file is of one machine
@pytest.mark.parametrize("step", STEPS)
def test_a_holder_on_another_machine_is_waited_for_as_long_as_its_lease_lives(
    url: str, step: float, set_clock: SetClock, faults: Faults
) -> None:
    faults.row, faults.injected = ROW, 1
    with open_catalogue(url) as holder, open_catalogue(url) as other:
        lease = holder.acquire_lease("retrain/m", TTL)
        of_another_machine(holder)
        set_clock(step)
        deadline = time.monotonic() + 3 * TTL
        while time.monotonic() < deadline:  # it renews in time: it is never taken for dead
            with pytest.raises(LeaseHeld):
                other.acquire_lease("retrain/m", TTL)
            holder.renew_lease(lease, TTL)
            time.sleep(TTL / 4)
        started = time.monotonic()
        while time.monotonic() < started + 20:
            try:
                other.acquire_lease("retrain/m", TTL)
                break
            except LeaseHeld:
                time.sleep(0.05)
        assert TTL * 0.8 < time.monotonic() - started < TTL * 2 + 2


def test_a_restart_of_the_machine_frees_what_was_held_in_a_database_file(
    settings: Settings, faults: Faults
) -> None:
    faults.row, faults.injected = ROW, 1
    with open_catalogue(settings) as catalogue:
        old = catalogue.acquire_lease("retrain/m", HOUR)
        of_another_machine(catalogue)
        assert catalogue.acquire_lease("retrain/m", HOUR).token > old.token


def test_a_killed_holder_holds_nothing(url: str, set_clock: SetClock, faults: Faults) -> None:
    faults.row, faults.injected = ROW, 1
    code = (
        "import sys, time\nfrom infra.catalogue import open_catalogue\n"
        f"open_catalogue({url!r}).acquire_lease('retrain/m', {HOUR})\n"
        "print('held', flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with open_catalogue(url) as catalogue:
        set_clock(-HOUR)
        with pytest.raises(LeaseHeld):
            catalogue.acquire_lease("retrain/m", HOUR)
        os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while True:  # a kill takes a moment; the killed one is not waited for, and so a zombie
            try:
                catalogue.acquire_lease("retrain/m", HOUR)
                break
            except LeaseHeld:
                assert time.monotonic() < deadline, "a killed holder keeps its lease"
                time.sleep(0.02)
    process.stdout.close()
    process.wait()


def test_holders_take_turns_while_the_clock_jumps(url: str, set_clock: SetClock, faults: Faults) -> None:
    faults.row = ROW
    held: list[Lease] = []
    with open_catalogue(url) as catalogue:
        for step in (*STEPS, 0.0, *STEPS):
            with catalogue.hold_lease("retrain/m", TTL) as lease:
                set_clock(step)
                faults.injected += 1
                time.sleep(TTL)  # renewed in the background twice
                with pytest.raises(LeaseHeld):
                    catalogue.acquire_lease("retrain/m", TTL)
                held.append(lease)
    assert [lease.token for lease in held] == sorted({lease.token for lease in held})


@pytest.mark.parametrize("step", STEPS)
def test_what_is_being_written_is_not_swept_away(
    settings: Settings, step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    faults.row, faults.injected = ROW, 1
    root, real = tmp_path / "objects", time.time
    FolderStore(root)
    source = tmp_path / "fifo"
    os.mkfifo(source)
    code = (
        "from pathlib import Path\nfrom infra.objects.folder import FolderStore\n"
        f"FolderStore(Path({str(root)!r})).put('a/b', Path({str(source)!r}))"
    )
    writer = subprocess.Popen([sys.executable, "-c", code])
    with source.open("wb") as slow:  # opens when the writer reads: its staging file is there
        slow.write(b"half")
        slow.flush()
        monkeypatch.setattr(time, "time", lambda: real() + step)
        swept = FolderStore(root)
        assert len(list((root / STAGING).iterdir())) == 1
        slow.write(b" and half")
    assert writer.wait() == 0
    assert swept.get("a/b") == b"half and half"
    check_invariants(settings, recovered=False)
