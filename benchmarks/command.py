"""What every benchmark's command line has: `--quick`, `--json PATH`, and a flat JSON of figures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Figure = float | int | str | Sequence[float]


def parser(description: str) -> argparse.ArgumentParser:
    """The options all benchmarks share."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--quick", action="store_true", help="a smaller form that ends in minutes, for CI")
    made.add_argument("--json", type=Path, metavar="PATH", help="write the figures as flat JSON")
    return made


def write_figures(path: Path | None, figures: Mapping[str, Figure]) -> None:
    """Write flat figures as JSON, if a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
