"""Lines of prose: a terminal gets them broken between words, everything else whole; tables say what their scores are."""

from __future__ import annotations

import io

from flows.score_legend import WAF_LINE
from flows.terminal import Terminal, broken, heard_by

LONG = "  stream lexical reads transcripts, which 60 of 60 clips lack; a recogniser (--set lexical.recogniser=x) listens to them"


def said(*, terminal: bool) -> tuple[str, str]:
    """What is printed, and what who listens hears."""
    file, heard = io.StringIO(), []
    console = Terminal(file=file, width=80, force_terminal=terminal, highlight=False, color_system=None)
    with heard_by(lambda text, progress: heard.append(text)):
        console.say(LONG)
    return file.getvalue(), "".join(heard)


def test_a_terminal_gets_lines_of_its_width() -> None:
    shown, heard = said(terminal=True)
    lines = shown.splitlines()
    assert len(lines) == 2 and max(map(len, lines)) <= 80 and lines[1].startswith("    ")
    assert " ".join(shown.split()) == " ".join(LONG.split()) and heard == LONG + "\n"


def test_a_file_gets_them_whole() -> None:
    assert said(terminal=False) == (LONG + "\n", LONG + "\n")


def test_what_is_one_word_stays_whole() -> None:
    path = "/" + "x" * 100
    assert broken(f"in {path} it is", 80) == ["in", f"  {path}", "  it is"] and broken("", 80) == [""]


def test_an_entry_of_a_list_hangs() -> None:
    file = io.StringIO()
    console = Terminal(file=file, width=40, force_terminal=True, highlight=False, color_system=None)
    console.entry("  [bold]corpus[/] one (table) 196 clips, 152 labelled, in a folder somewhere")
    console.entry("  short")
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("  corpus one") and lines[1].startswith("    ") and lines[-1] == "  short"
    assert max(map(len, lines)) <= 40 and "[bold]" not in file.getvalue()


def test_a_legend_fits() -> None:
    assert len(WAF_LINE) <= 80 and "weighted F1" in WAF_LINE
