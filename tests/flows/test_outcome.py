"""Errors end a command with one message and a code; a bug with the file of its traceback."""

from __future__ import annotations

import errno
import logging
import re
from pathlib import Path

import httpx
import pytest

from flows.cli.outcome import failure
from flows.console_handler import said_by_the_command_line
from flows.explained_errors import explained, is_ours
from infra.errors import InfraError
from mer.errors import ConfigError


def refused(status: int) -> httpx.HTTPStatusError:
    """An answer of a Prefect server, as its clients raise it."""
    request = httpx.Request("GET", "http://h/api")
    return httpx.HTTPStatusError("refused", request=request, response=httpx.Response(status))


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (ConfigError("said"), True),
        (InfraError("said"), True),
        (LookupError("said"), True),
        (KeyError("a bug"), False),
        (IndexError("a bug"), False),
        (ValueError("a bug"), False),
    ],
)
def test_what_our_message_says_alone_is_told_from_a_bug(error: Exception, ours: bool) -> None:
    assert is_ours(error) is ours
    assert explained(error) == ("said" if ours else None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/home/x"),
            "no space left on the disk (/home/x): free some",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no space left on the disk: free some"),
        (PermissionError(errno.EACCES, "Permission denied", "/srv/x"), "Permission denied (/srv/x)"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "Read-only file system (/x)"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (MemoryError(), "not enough memory"),
        (httpx.ConnectError("refused"), "the Prefect server at http://h/api does not answer (ConnectError)"),
        (refused(401), "the Prefect server at http://h/api refuses the password"),
        (refused(500), "the Prefect server at http://h/api does not answer (HTTPStatusError)"),
        (
            RuntimeError("Failed to reach API at http://h/api"),
            "the Prefect server at http://h/api does not answer",
        ),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://h/api")
    message = failure(error)
    assert message.startswith(said) and "\n" not in message


def test_a_server_that_went_away_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://u:hunter2@h/api")
    message = failure(RuntimeError("Failed to reach API at http://u:hunter2@h/api/"))
    assert message.startswith("the Prefect server at http://***@h/api does not answer")


def test_a_cause_that_can_be_explained_explains_what_it_caused() -> None:
    outer = RuntimeError("a task failed")
    outer.__cause__ = ConfigError("hidden: expected more, found less")
    assert failure(outer) == "hidden: expected more, found less"


@pytest.mark.parametrize("there", [True, False])
def test_a_bug_names_the_file_of_its_traceback(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("MER_HOME", str(home))
    if there:
        home.mkdir()
    try:
        raise ValueError("first line\nsecond line")
    except ValueError as error:
        message = failure(error)
        failure(error, verbose=True)
    assert "Traceback" in capsys.readouterr().err, "verbose shows it too"
    assert message.splitlines()[0] == "an unexpected error, which is a bug: ValueError: first line"
    found = re.search(r"traceback is in (.*); please", message)
    assert found is not None
    written = Path(found.group(1))
    assert "second line" in written.read_text() and "Traceback" in written.read_text()
    assert written.is_relative_to(home) is there
    assert home.exists() is there, "an error makes no home"
    if not there:
        written.unlink()


@pytest.mark.parametrize(
    ("logger", "level", "shown"),
    [
        ("prefect.flow_runs", logging.ERROR, False),
        ("prefect.task_runs", logging.ERROR, False),
        ("prefect.task_runs", logging.WARNING, True),
        ("EventsWorker", logging.WARNING, False),
        ("mer.features", logging.ERROR, True),
        ("prefect.server", logging.ERROR, True),
    ],
)
def test_errors_of_runs_are_said_by_the_command_alone(logger: str, level: int, shown: bool) -> None:
    record = logging.LogRecord(logger, level, "file", 1, "failed", (), None)
    assert said_by_the_command_line(record) is shown
