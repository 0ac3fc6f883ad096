"""No page names a command, an option, a target, a recipe or a piece of Python that there is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from documented_commands import PAGES, Documented, blocks_of, commands, problem

from mer.recipes import load_recipe

COMMANDS = list(commands())


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 200
    assert {command.words[0] for command in COMMANDS} == {"mer", "make", "python"}
    assert any("--label-map 0=angry,1=happy,2=" in command.text for command in COMMANDS)


def test_the_command_line_takes_every_command() -> None:
    problems = [f"{command}: {found}" for command in COMMANDS if (found := problem(command)) is not None]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mer frobnicate", "no command frobnicate"),
        ("mer run --corpsu PATH", "--corpsu"),
        ("mer search --sampler dice", "dice"),
        ("mer check A B", "unexpected"),
        ("mer generations explode", "no command explode"),
        ("make run-flwo", "no target run-flwo"),
        ("make up PROFLIE=full", "no variable PROFLIE"),
        ("python -m benchmarks.nothing", "no module"),
        ("python -m benchmarks.scale --rowz 3", "no --rowz"),
    ],
)
def test_what_there_is_not_is_found(text: str, expected: str) -> None:
    assert expected in (problem(Documented(PAGES[0], text)) or "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_and_yaml_can_be_read(page: Path, tmp_path: Path) -> None:
    for code in blocks_of(page, "python"):
        compile(code, f"{page.name}, a block", "exec", dont_inherit=True)
    for code in blocks_of(page, "yaml"):
        read = yaml.safe_load(code)
        assert isinstance(read, dict), code
        if "extends" in read:
            (tmp_path / "mine.yaml").write_text(code, encoding="utf-8")
            load_recipe(str(tmp_path / "mine.yaml"))
