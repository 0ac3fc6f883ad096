"""Two to eight retrainings at once make one version and one promotion; one that slept past its lease writes nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_report import Faults
from invariants import check_invariants
from plain_flow import SmallHome, plainly

from infra.catalogue import Catalogue, open_catalogue
from infra.errors import LeaseLost
from tasks.stage import exclusive

pytestmark = pytest.mark.fault

LOST = 7
"""Exit code of a run that was told it had lost its lease."""


def _forked(body: Callable[[], None]) -> int:
    """Run `body` in a child that has loaded everything already; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        body()
        code = 0
    except LeaseLost:
        code = LOST
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _run(home: SmallHome) -> None:
    with plainly():
        home.run()


def _rounds(home: SmallHome, sizes: list[int], faults: Faults) -> None:
    faults.row = "concurrent retrains"
    _run(home)
    for number, size in enumerate(sizes):
        home.add_clips(f"round{number}", 6, seed=100 + number)
        children = [_forked(lambda: _run(home)) for _ in range(size)]
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert ended == [0] * size
        faults.injected += size
        check_invariants(home.settings, recovered=True)
        with open_catalogue(home.settings) as catalogue:
            assert len(catalogue.model_versions("small")) == number + 2


def test_some_at_once_make_one_version(tmp_path: Path, faults: Faults) -> None:
    _rounds(SmallHome(tmp_path), [2, 4], faults)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_twenty_rounds_of_two_to_eight(tmp_path: Path, faults: Faults) -> None:
    _rounds(SmallHome(tmp_path), [2 + number % 7 for number in range(20)], faults)


def test_a_writer_that_slept_past_its_lease_is_refused(
    tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults.row, faults.injected = "concurrent retrains", 1
    monkeypatch.setattr(exclusive, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(exclusive, "PATIENCE_SECONDS", 20.0)
    home = SmallHome(tmp_path)
    _run(home)
    home.add_clips("more", 6, seed=5)

    def asleep() -> None:
        set_alias = Catalogue.set_alias

        def late(*arguments: object, **options: object) -> object:
            os.kill(os.getpid(), signal.SIGSTOP)
            return set_alias(*arguments, **options)  # type: ignore[arg-type]

        Catalogue.set_alias = late  # type: ignore[method-assign, assignment]
        _run(home)

    sleeper = _forked(asleep)
    deadline = time.monotonic() + 120
    while not os.WIFSTOPPED(os.waitpid(sleeper, os.WUNTRACED | os.WNOHANG)[1]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    other = _forked(lambda: _run(home))
    assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 0
    with open_catalogue(home.settings) as catalogue:
        audit = catalogue.promotions("small", None)
    os.kill(sleeper, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(sleeper, 0)[1]) == LOST
    with open_catalogue(home.settings) as catalogue:
        assert catalogue.promotions("small", None) == audit, "the late writer changed something"
    check_invariants(home.settings, recovered=False)
