"""Pages that are written from the code are in step with it; WRITE_SNAPSHOTS=1 writes them anew."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from generated_pages import ROOT, api_page, options_page

import mer
from mer.recipes import recipe_names


@pytest.mark.parametrize(("name", "made"), [("options.md", options_page), ("api.md", api_page)])
def test_a_page_is_in_step_with_the_code(name: str, made: Callable[[], str]) -> None:
    path, page = ROOT / "docs" / name, made()
    if os.environ.get("WRITE_SNAPSHOTS"):
        path.write_text(page, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == page, (
        f"docs/{name}: expected what the code says, found another text; WRITE_SNAPSHOTS=1 python -m pytest tests/documentation "
        "writes it anew"
    )


def test_every_recipe_and_every_name_has_its_place() -> None:
    options, api = options_page(), api_page()
    assert all(f"| `{name}` |" in options for name in recipe_names())
    assert "| `rank` |" in options and "## streams.NAME.adaptation" in options
    assert all(f"\n## {name}\n" in api for name in mer.__all__ if not name.startswith("__"))
    assert "### Fusion.predict_proba" in api
