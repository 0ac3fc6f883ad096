"""What the site has beside the pages of this folder: files of the repository that they link to, as pages of their own.

A hook of mkdocs (`mkdocs.yml`). On a forge the links lead to the files themselves; here they lead to `repository/`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "CHANGELOG.md": "repository/changelog.md",
    "CONTRIBUTING.md": "repository/contributing.md",
    "SECURITY.md": "repository/security.md",
    "benchmarks/README.md": "repository/benchmarks.md",
    "examples/own_arrays.py": "repository/own_arrays.md",
    "examples/own_clips.py": "repository/own_clips.md",
    "examples/own_fusion_model.py": "repository/own_fusion_model.md",
    "examples/tour.ipynb": "repository/tour_notebook.md",
}
"""File of the repository -> its page."""
_LINK = re.compile(r"\]\((?P<target>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=_content(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links to files of the repository to their pages, seen from the file that says them."""
    uri = page.file.src_uri
    written = next((source for source, target in PAGES.items() if target == uri), f"docs/{uri}")

    def led(link: re.Match[str]) -> str:
        target = _joined(PurePosixPath(written).parent, link["target"])
        there = PAGES.get(target) or target.removeprefix("docs/")
        if target not in PAGES and not target.startswith("docs/"):
            return link[0]  # no page: the build says so
        return f"]({'../' * uri.count('/')}{there}{link['anchor'] or ''})"

    return _LINK.sub(led, markdown)


def _joined(folder: PurePosixPath, target: str) -> str:
    parts: list[str] = [] if str(folder) == "." else list(folder.parts)
    for part in PurePosixPath(target).parts:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/".join(parts)


def _content(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return f"# {path.name}\n\n```python\n{text}```\n"
    if path.suffix == ".ipynb":
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
        return "\n\n".join(said if kind == "markdown" else f"```python\n{said}\n```" for kind, said in cells)
    return text
