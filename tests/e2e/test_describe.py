"""`mer describe` on a corpus that was run: the keys that it asks for are those of the run, and it changes nothing."""

from __future__ import annotations

import re

import pytest
from e2e_installation import TINY, Installation

pytestmark = pytest.mark.slow


def rows(installation: Installation, *more: str) -> dict[str, str]:
    """Stage -> how much of it is there."""
    shown = installation.mer("describe", str(TINY), "--name", "tiny", *more).stdout
    assert max(map(len, shown.splitlines())) <= 80, shown
    found = re.findall(
        r"^((?:features|layer study|adaptation|alignment) of \w+|fusion|pseudo-labels|evaluation) +.*? {2,}?"
        r"((?:all )?\d+ (?:of \d+ )?\w+|decided then|unknown before.*|yes|no)",
        shown,
        re.MULTILINE,
    )
    return dict(found) | {"end": " ".join(shown.rpartition("\n\n")[2].split())}


def test_all_that_a_run_made_is_found(finished: Installation) -> None:
    before = finished.results()
    told = rows(finished)
    assert told["layer study of acoustic"] == told["adaptation of acoustic"] == "all 3 views"
    assert told["alignment of visual"] == "all 3 views"
    assert all(told[f"features of {name}"].startswith("all ") for name in ("acoustic", "visual", "lexical"))
    assert told["fusion"].startswith("all ") and "would be computed" not in told["end"]
    assert finished.results() == before


@pytest.mark.nightly
def test_what_follows_a_change_is_missing_or_unknown(finished: Installation) -> None:
    fusion = rows(finished, "--set", "fusion.epochs=13")
    assert fusion["alignment of visual"] == "all 3 views" and re.match(r"\d+ of \d+ models", fusion["fusion"])
    adapted = rows(finished, "--set", "acoustic.adaptation.rank=8")
    assert adapted["layer study of acoustic"] == "all 3 views"
    assert adapted["adaptation of acoustic"] == "0 of 3 views"
    assert adapted["alignment of visual"] == "unknown before"
    assert "adaptation of acoustic (3)" in adapted["end"] and "alignment of visual" in adapted["end"]
