"""Dead runs of servers that do not answer, or are another's by now: a start asks each once, and says it in one message."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flows.supervision.dead_runs import GIVEN_UP_AFTER, Settling
from flows.upkeep import put_right
from infra.catalogue import open_catalogue
from infra.catalogue.run_processes import executing_process
from infra.errors import PrefectUnavailable
from infra.settings import Settings

ALIVE = executing_process()
DEAD = ALIVE._replace(start=ALIVE.start - 1)


@contextmanager
def _answering(status: int) -> Iterator[tuple[str, list[str]]]:
    """API of a server that answers everything with this status, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_silent_server_is_asked_once_for_all_its_dead_runs(settings: Settings) -> None:
    with _answering(503) as (silent, asked), open_catalogue(settings) as catalogue:
        for number in range(3):
            catalogue.add_run_process(DEAD, silent, f"run-{number}")
        catalogue.add_run_process(DEAD, silent)  # never began: nobody has to be asked
        rows = catalogue.run_processes()
        with pytest.raises(PrefectUnavailable):
            Settling(settings, catalogue).settle(rows, rows)
        assert len(asked) == 1
        assert [row.flow_run for row in catalogue.run_processes()] == ["run-0", "run-1", "run-2"]


def test_a_server_that_is_gone_for_good_is_given_up(settings: Settings) -> None:
    with _answering(503) as (gone, _), open_catalogue(settings) as catalogue:
        for run in ("old", "young"):
            catalogue.add_run_process(DEAD, gone, run)
        young = catalogue.run_processes()
        old = [
            replace(row, started_at=row.started_at - GIVEN_UP_AFTER) for row in young if row.flow_run == "old"
        ]
        for rows in (young, old):
            with pytest.raises(PrefectUnavailable):
                Settling(settings, catalogue).settle(rows, rows)
            assert len(catalogue.run_processes()) == (2 if rows is young else 1)


def test_a_server_that_refuses_the_password_is_one_message_without_a_traceback(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MER_HOME", str(settings.home))
    with _answering(401) as (another, _), caplog.at_level(logging.WARNING):
        with open_catalogue(settings) as catalogue:
            catalogue.add_run_process(DEAD, another, "run")
        lines = [line for line in put_right(settings) if line.startswith("dead runs")]
    assert len(lines) == 1 and "MER_PREFECT_AUTH_STRING" in lines[0]
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
