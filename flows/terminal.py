"""Where a person reads what happens: the one console that the flows and commands print to, and how much of it is shown."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from textwrap import wrap
from typing import Any, BinaryIO, TextIO

from rich.console import Console
from rich.text import Text

BROKEN_PIPE = 141
"""Exit code where the reader of the output went away, as `| head` does: 128 + SIGPIPE, as of other programs."""
_UTF8 = "PYTHONUTF8"
_UNWRAPPED = 10_000
"""Columns of a line that is the only one shown: it is not broken."""
_PLAIN_COLUMNS = 110
"""Columns of what is written where no terminal is."""

Listener = Callable[[str, bool], None]
"""Takes what is printed, as plain text with its line ends, and whether it only says how far something is."""
_listener: Listener | None = None


class Terminal(Console):
    """A console that ends the command quietly where nobody reads on; what it prints is heard by `heard_by` too."""

    def print(self, *objects: Any, **options: Any) -> None:
        """See `rich.console.Console.print`."""
        super().print(*objects, **options)
        _tell(objects, options, progress=False)

    def say(self, line: str) -> None:
        """Print a line of prose as it is: a terminal gets it broken between words, a file or another program gets it whole."""
        for part in broken(line, self.width) if self.is_terminal else [line]:
            super().print(part, markup=False, soft_wrap=True)
        _tell((line,), {"markup": False, "soft_wrap": True}, progress=False)

    def entry(self, markup: str) -> None:
        """Print a line of a list, with markup; what a terminal's line does not hold stands below it, indented further."""
        text = Text.from_markup(markup)
        indent = len(text.plain) - len(text.plain.lstrip()) + 2
        if not self.is_terminal or text.cell_len <= self.width:
            self.print(markup)
            return
        for number, part in enumerate(text.wrap(self, self.width - indent)):
            super().print(Text(" " * (indent if number else 0)) + part, soft_wrap=True)
        _tell((markup,), {}, progress=False)

    def progress(self, text: str) -> None:
        """Print a line that says how far something is; who listens may leave some of them out."""
        super().print(text)
        _tell((text,), {}, progress=True)

    def on_broken_pipe(self) -> None:
        """See `rich.console.Console.on_broken_pipe`, whose exit code says that an error of ours happened."""
        close_output()
        raise SystemExit(BROKEN_PIPE)


console = Terminal(highlight=False)


def broken(line: str, width: int) -> list[str]:
    """A line in parts of at most `width` columns, the later ones indented; words (paths, commands) stay whole."""
    if "\n" in line:
        return [part for one in line.split("\n") for part in broken(one, width)]
    indent = line[: len(line) - len(line.lstrip())]
    parts = wrap(
        line, width, subsequent_indent=indent + "  ", break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True, replace_whitespace=False,
    )  # fmt: skip
    return parts or [line]


def say_aside(line: str) -> None:
    """Print a line of prose to standard error, on a terminal broken between words."""
    aside = Console(stderr=True, highlight=False)
    for part in broken(line, aside.width) if aside.is_terminal else [line]:
        aside.print(Text(part), soft_wrap=True)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Give `listener` all that is printed inside the block, by any thread."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def _tell(objects: Sequence[Any], options: dict[str, Any], progress: bool) -> None:
    if _listener is None:
        return
    plain = Console(file=io.StringIO(), width=_PLAIN_COLUMNS, color_system=None, highlight=False)
    plain.print(*objects, **{"soft_wrap": all(isinstance(item, str) for item in objects), **options})
    text = plain.file
    assert isinstance(text, io.StringIO)
    _listener(text.getvalue(), progress)


_printed: set[tuple[str, ...]] = set()


def print_once(lines: Sequence[str]) -> None:
    """Print lines, indented, unless the same ones were printed already: a flow says again what was checked before it."""
    if tuple(lines) in _printed:
        return
    _printed.add(tuple(lines))
    for line in lines:
        console.say(f"  {line}")


class LastLine(io.TextIOBase):
    """A stream that writes only the last line that is not blank, when it is closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last, self._open = "", ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream behind it."""
        return self._stream.encoding

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Keep the text's last line."""
        *whole, self._open = (self._open + text).split("\n")
        self._last = next((line for line in reversed(whole) if line.strip()), self._last)
        return len(text)

    def close(self) -> None:
        """Write the line."""
        last = self._open if self._open.strip() else self._last
        if last and not self.closed:
            self._stream.write(f"{last.rstrip()}\n")
            self._stream.flush()
        super().close()


def show_last_line_only() -> None:
    """From now on standard output is kept back but for its last line, which `finish_output` writes."""
    sys.stdout = LastLine(sys.stdout)
    console.width = _UNWRAPPED


def shows_last_line_only() -> bool:
    """True for a command with --quiet: what it ends with is its answer, and nothing may come after that."""
    return isinstance(sys.stdout, LastLine)


def data_output() -> BinaryIO:
    """Standard output as bytes, for answers that another program reads: nothing of it is kept back."""
    stream = sys.stdout._stream if isinstance(sys.stdout, LastLine) else sys.stdout
    return stream.buffer


def finish_output() -> None:
    """Write what is kept back, and all that is buffered; a reader who went away raises BrokenPipeError here, not later."""
    if isinstance(sys.stdout, LastLine):
        behind = sys.stdout._stream
        sys.stdout.close()
        sys.stdout = behind
    sys.stdout.flush()


def close_output() -> None:
    """Nobody reads standard output any more: what is still written to it goes nowhere, without an error at exit."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # open until the end
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def print_any_name() -> None:
    """A character that the terminal's encoding lacks is shown by its number, where Python would raise an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def in_utf8() -> None:
    """Start this program anew in Python's UTF-8 mode where the locale has another encoding.

    Names of files and clips are text of any language: with the encoding of the locale C they can be neither printed nor stored.
    Processes that the program starts inherit the mode.
    """
    utf8 = sys.getfilesystemencoding() == "utf-8" and sys.stdout.encoding.lower() == "utf-8"
    if utf8 or os.environ.get(_UTF8) == "1" or not sys.executable:
        return
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, _UTF8: "1"})
