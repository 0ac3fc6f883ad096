"""Events are sent in the order they were written in, whatever the clock does; what was refused is kept and said."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.tracking.spool import EventRefused, Spool, TrackingDown


def sent_by(spool: Spool) -> list[Any]:
    sent: list[Any] = []
    spool.drain(lambda event: sent.append(event["n"]))
    return sent


def test_a_clock_that_is_set_back_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, now = Spool(tmp_path / "spool"), time.time()
    for number in range(12):
        back = now - 3600 * number
        monkeypatch.setattr(time, "time", lambda back=back: back)
        monkeypatch.setattr(time, "time_ns", lambda back=back: int(back * 1e9))
        spool.add({"n": number})
    assert sent_by(spool) == list(range(12))


def test_what_an_earlier_version_spooled_is_sent_first(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder)
    spool.add({"n": "new"})
    (folder / f"{time.time_ns() + 10**15:020d}-ab.json").write_text('{"n": "second"}')
    (folder / f"{time.time_ns():020d}-cd.json").write_text('{"n": "first"}')
    spool.add({"n": "newest"})
    assert sent_by(spool) == ["first", "second", "new", "newest"]


def test_processes_that_write_at_once_get_one_order(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from infra.tracking.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]))\n"
        "for number in range(40): spool.add({'n': [sys.argv[2], number]})"
    )
    folder = tmp_path / "spool"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(folder), name]) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    numbers = [path.name.split("-")[1] for path in folder.glob("*.json")]
    assert len(set(numbers)) == 80
    sent = sent_by(Spool(folder))
    for name in "ab":
        assert [number for writer, number in sent if writer == name] == list(range(40))


def test_what_is_refused_is_kept_with_its_reason_and_sent_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in range(3):
        spool.add({"n": number})

    def refuse_one(event: Mapping[str, Any]) -> None:
        if event["n"] == 1:
            raise EventRefused("parameter too long")

    assert spool.drain(refuse_one) == 2
    assert [event.reason for event in spool.refused()] == ["parameter too long"]
    spool.add({"n": 3})
    assert spool.retry_refused() == 1
    assert spool.refused() == []
    assert sent_by(spool) == [1, 3], "where it was in the order"


def test_a_number_is_not_given_again_while_a_refused_event_has_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.add({"n": 0})

    def refuse(event: Mapping[str, Any]) -> None:
        raise EventRefused("no")

    spool.drain(refuse)
    spool.add({"n": 1})
    spool.retry_refused()
    assert sent_by(spool) == [0, 1]


def test_what_waits_says_since_when_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.backlog() is None
    spool.add({"n": 0})

    def down(event: Mapping[str, Any]) -> None:
        raise TrackingDown("no answer from MLflow")

    spool.drain(down)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 7200)
    waiting = spool.backlog()
    assert waiting is not None
    assert (waiting.count, round(waiting.oldest_seconds / 60), waiting.reason) == (
        1,
        120,
        "no answer from MLflow",
    )
    monkeypatch.setattr(time, "time", lambda: now - 7200)
    assert spool.backlog().oldest_seconds == 0  # type: ignore[union-attr]
    sent_by(spool)
    spool.add({"n": 1})
    assert spool.backlog().reason == ""  # type: ignore[union-attr]
