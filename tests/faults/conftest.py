"""The fault suite: `make test-fault`. Each test injects faults and checks the invariants after each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import invariants
import pytest
from fault_report import PROPERTY, Faults, report_lines


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Iterator[Faults]:
    """What this test injects; every check of an invariant in this test counts for its row."""
    invariants.HELD.clear()
    injected = Faults(row=str(request.node.name).partition("[")[0].removeprefix("test_").replace("_", " "))
    yield injected
    injected.held.update(invariants.HELD)
    request.node.user_properties.append((PROPERTY, injected.to_text()))


_outcomes: dict[str, tuple[str, float]] = {}
_injected: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep how each test ended (its call, or what went wrong before) and what it injected (known at its teardown)."""
    if report.when == "call" or report.failed:
        _outcomes[report.nodeid] = (report.outcome, report.duration)
    for name, text in report.user_properties:
        if name == PROPERTY:
            _injected[report.nodeid] = str(text)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The report, after everything else."""
    if _injected:
        terminalreporter.section("faults injected, invariants held")
        for line in report_lines((text, *_outcomes[test]) for test, text in _injected.items()):
            terminalreporter.write_line(line)
