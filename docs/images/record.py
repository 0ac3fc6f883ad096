"""A picture of what commands print, as SVG; how the picture of this folder was made (60 clips of RAVDESS, a run that was killed):

    export FORCE_COLOR=1 COLUMNS=80
    { echo '$ mer check clips --emotions auto'; mer check clips --emotions auto; echo
      echo '$ mer describe demo --name demo-200-2023'; mer describe demo --name demo-200-2023; } \\
      | python docs/images/record.py > docs/images/check_and_describe.svg
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
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace(
        "Fira Code, monospace", "monospace"
    )
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())


if __name__ == "__main__":
    sys.stdout.write(picture(sys.stdin.read(), sys.argv[1] if len(sys.argv) > 1 else "mer"))
