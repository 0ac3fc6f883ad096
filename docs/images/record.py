"""A picture of what a command prints, as SVG; how the pictures of this folder were made:

FORCE_COLOR=1 COLUMNS=80 mer run --corpus clips --emotions auto | python docs/images/record.py > docs/images/first_run.svg
"""

from __future__ import annotations

import io
import re
import sys

from rich.console import Console
from rich.text import Text

WIDTH = 80


def picture(printed: str, title: str) -> str:
    """The SVG of a terminal of `WIDTH` columns; text in the viewer's own monospaced font, so that nothing is fetched."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    for line in printed.splitlines():
        console.print(Text.from_ansi(line), soft_wrap=False)
    svg = console.export_svg(title=title)
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace(
        "Fira Code, monospace", "monospace"
    )


if __name__ == "__main__":
    sys.stdout.write(picture(sys.stdin.read(), sys.argv[1] if len(sys.argv) > 1 else "mer"))
