"""Every command that the documentation names: found in its blocks and in its lines, and parsed by the real command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import typer

from flows.cli import app

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "benchmarks/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
PROGRAMS = ("mer", "make", "python")
_FENCE = re.compile(r"^ *```(?P<language>[\w-]*) *\n(?P<code>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?P<code>(?: {4}.*\n?)+)")
_INLINE = re.compile(r"(?<!`)`(?P<code>(?:mer|make) [^`]+?)`(?!`)")
_SHELL = ("", "sh", "bash", "console")
_ASSIGNED = re.compile(r"^(?:export +)?(?:[A-Z_][A-Z0-9_]*=(?:\"[^\"]*\"|'[^']*'|\S+) +)+")
_END = re.compile(r" (?:\\?\||>|<|&&|;) ?")
ELSEWHERE = ("COMMAND", "PATH", "NAME")
"""Words that stand for a command, in sentences about commands."""


@dataclass(frozen=True)
class Documented:
    """A command as a page has it."""

    page: Path
    text: str
    inline: bool = False

    @property
    def words(self) -> list[str]:
        """Program and arguments: without variables before it, a comment behind it, and what its output goes to."""
        text = _ASSIGNED.sub("", self.text.strip())
        try:
            return shlex.split(_END.split(text)[0], comments=True)
        except ValueError:
            return shlex.split(text, comments=True)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}: {self.text.strip()}"


def commands() -> Iterator[Documented]:
    """All commands of all pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for code in _blocks(text):
            yield from (Documented(page, line) for line in _lines(code))
        for found in _INLINE.finditer(_FENCE.sub("", text)):
            said = " ".join(found["code"].split())
            yield from (
                Documented(page, one, inline=True)
                for one in said.split("; ")
                if one.startswith(("mer ", "make "))
            )


def blocks_of(page: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    text = page.read_text(encoding="utf-8")
    return [found["code"] for found in _FENCE.finditer(text) if found["language"] == language]


def _blocks(text: str) -> Iterator[str]:
    for found in _FENCE.finditer(text):
        if found["language"] in _SHELL:
            yield found["code"]
    for found in _INDENTED.finditer(_FENCE.sub("", text)):
        yield found["code"]


def _lines(code: str) -> Iterator[str]:
    for line in re.sub(r"\\\n\s*", " ", code).splitlines():
        bare = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
        words = _ASSIGNED.sub("", bare).split(maxsplit=1)
        if words and words[0] in PROGRAMS and (len(words) == 1 or not words[1].startswith("=")):
            yield bare


def problem(command: Documented) -> str | None:
    """Why the command line would not take a command; None: it would."""
    words = command.words
    if words[0] == "mer":
        found = _problem_of_mer(words[1:])
        named = command.inline and found is not None and found.endswith("requires an argument.")
        return None if named else found  # a sentence about the option
    if words[0] == "make":
        return _problem_of_make(words[1:])
    return _problem_of_python(words[1:])


@lru_cache
def _group() -> Any:
    return typer.main.get_command(app)


def _problem_of_mer(arguments: list[str]) -> str | None:
    group = _group()
    anywhere = {option for parameter in group.params for option in parameter.opts}
    known = {
        option
        for item in arguments
        for name, one in group.commands.items()
        if name == item
        for p in one.params
        for option in p.opts
    }
    given = [item for item in arguments if item not in anywhere - known and item != "--help"]
    if not given:
        return None
    name, rest = given[0], given[1:]
    if name in ELSEWHERE:
        return None
    if name not in group.commands:
        return f"there is no command {name}"
    command = group.commands[name]
    while hasattr(command, "commands") and rest:
        if rest[0] not in command.commands:
            return f"{name} has no command {rest[0]}"
        name, command, rest = f"{name} {rest[0]}", command.commands[rest[0]], rest[1:]
    try:
        context = command.context_class(command, info_name=name, resilient_parsing=False)
        options, left, _ = command.make_parser(context).parse_args(list(rest))
        for parameter in command.params:
            value = options.get(parameter.name)
            said = [
                item for item in (value if isinstance(value, list | tuple) else [value]) if item is not None
            ]
            placeholder = any(isinstance(item, str) and item.isupper() for item in said)
            if said and not placeholder and "Path" not in str(parameter.type_descriptor.annotation):
                parameter.process_value(context, value)
    except Exception as error:  # whatever the parser raises, its message says it
        return str(getattr(error, "message", error)) or repr(error)
    return f"unexpected {left}" if left else None


def _problem_of_make(arguments: list[str]) -> str | None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^(?:export )?([A-Z]+) *[?:]?=", makefile, re.MULTILINE))
    for item in arguments:
        name, is_variable, _ = item.partition("=")
        if is_variable and name not in variables:
            return f"the Makefile has no variable {name}"
        if not is_variable and name not in targets:
            return f"the Makefile has no target {name}"
    return None


def _problem_of_python(arguments: list[str]) -> str | None:
    if arguments[:1] != ["-m"] or not arguments[1].startswith(("benchmarks", "infra", "mer.", "flows")):
        return None
    path = ROOT / Path(*arguments[1].split("."))
    if path.is_dir() and (path / "__main__.py").is_file():
        sources = list(path.glob("*.py"))
    elif path.with_suffix(".py").is_file():
        sources = [path.with_suffix(".py")]
    else:
        return f"there is no module {arguments[1]}"
    shared = [*(ROOT / "benchmarks").glob("*.py"), *path.parent.glob("*.py")]
    text = "".join(source.read_text(encoding="utf-8") for source in {*sources, *shared})
    unknown = [
        word for word in arguments[2:] if word.startswith("--") and f'"{word.partition("=")[0]}"' not in text
    ]
    return f"{arguments[1]} has no {', '.join(unknown)}" if unknown else None
