"""What commands print on a terminal of 80 columns fits there, but for lines of words that are long (paths, addresses)."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from e2e_installation import TINY, Installation
from pseudo_terminal import shown_in_terminal

pytestmark = pytest.mark.nightly

COLUMNS, LONG_WORD = 80, 50
DESCRIBED = (str(TINY), "--name", "tiny")
COMMANDS = (
    ("status",),
    ("models",),
    ("evaluate", "--version", "1"),
    ("generations",),
    ("recipes",),
    ("logs", "--lines", "40"),
    ("describe", *DESCRIBED),
    ("report", "tiny"),
    ("review", "tiny"),
    ("review", "tiny", "--order", "errors"),
    ("review", "tiny", "--status"),
    ("quality", "tiny"),
    ("drift", "--model", "tiny", "--clips", "CORPUS"),
    ("run", "--recipe", str(TINY), "--corpus", "CORPUS", "--name", "tiny"),
    ("refresh", "--recipe", str(TINY), "--corpus", "CORPUS", "--name", "tiny"),
)


@pytest.fixture(scope="module")
def copied(finished: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The home of a run that has ended, to go on in."""
    home = tmp_path_factory.mktemp("copied") / "home"
    shutil.copytree(finished.home, home)
    return replace(finished, home=home)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_terminal_of_80_columns_is_enough(copied: Installation, command: tuple[str, ...]) -> None:
    words = [str(copied.corpus) if word == "CORPUS" else word for word in command]
    code, lines = shown_in_terminal(copied.command(*words), copied.variables(), COLUMNS)
    assert code == 0, lines[-20:]
    wide = [
        line for line in lines if len(line) > COLUMNS and max(map(len, line.split()), default=0) < LONG_WORD
    ]
    assert lines and not wide, wide
    assert not any("anonymous usage" in line for line in lines), "nobody is told what runs here"
    if command[0] in ("models", "evaluate"):
        assert any(line.startswith("WAF: weighted F1") for line in lines)
