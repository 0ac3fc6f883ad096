"""What commands print on a terminal of 80 columns fits there, but for words that are longer (paths, addresses)."""

from __future__ import annotations

import re
import subprocess

import pytest
from e2e_installation import TINY, Installation

pytestmark = pytest.mark.nightly

COMMANDS = (
    ("status",),
    ("models",),
    ("evaluate", "--version", "1"),
    ("generations",),
    ("recipes",),
    ("logs", "--lines", "40"),
    ("describe", str(TINY), "--name", "tiny"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_terminal_of_80_columns_is_enough(finished: Installation, command: tuple[str, ...]) -> None:
    done = subprocess.run(
        finished.command(*command),
        env={**finished.variables(), "COLUMNS": "80", "FORCE_COLOR": "1"},
        capture_output=True, text=True, check=True, timeout=420,
    )  # fmt: skip
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in done.stdout.splitlines()]
    wide = [line for line in lines if len(line) > 80 and len(line.split()) > 1]
    assert lines and not wide, wide
    if command[0] in ("models", "evaluate"):
        assert any(line.startswith("WAF: weighted F1") for line in lines)
