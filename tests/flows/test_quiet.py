from __future__ import annotations

import logging

import pytest

from flows.cli.quiet import without_tracebacks_of_ours
from flows.inspection import is_ours
from infra.errors import InfraError
from mer.errors import ConfigError


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
def test_what_our_message_says_alone_has_no_traceback(error: Exception, ours: bool) -> None:
    assert is_ours(error) is ours
    handler = logging.StreamHandler()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        without_tracebacks_of_ours()
        without_tracebacks_of_ours()  # once is enough
    finally:
        root.removeHandler(handler)

    def shown(logger: str, raised: Exception | None, run: str = "") -> bool:
        trace = None if raised is None else (type(raised), raised, None)
        record = logging.LogRecord(logger, logging.ERROR, "file", 1, "failed", (), trace)
        record.task_run_id = run
        return bool(handler.filter(record))

    assert len(handler.filters) == 1
    assert shown("prefect.flow_runs", error) is not ours
    assert shown("prefect.task_runs", error) is not ours
    assert shown("prefect.flow_runs", None)
    assert shown("prefect.task_runs", None, "first")
    assert shown("prefect.task_runs", error, "first") is not ours
    assert shown("prefect.task_runs", None, "first") is not ours, "the state it ends in"
    assert shown("prefect.task_runs", None, "second")
    assert shown("mer.features", error)
