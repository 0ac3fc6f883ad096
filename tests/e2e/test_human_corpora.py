"""Corpora as people have them, by the one command that they would type, against the real servers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from e2e_installation import Installation
from human_corpora import Human
from human_layouts import LAYOUT_CASES
from human_names import NAME_CASES
from human_tables import TABLE_CASES

from infra.catalogue import Catalogue

pytestmark = pytest.mark.slow

CASES = {case.id: case for case in (*NAME_CASES, *TABLE_CASES, *LAYOUT_CASES)}
CHOSEN = (
    "zeros that a spreadsheet lost",
    "xlsx with numbers for names",
)
AT_NIGHT = (
    "paths of another machine",
    "two rows are near",
    "filename label subject text",
    "EMO-DB with all its classes, without options",
    "NFD on disk",
    "names that begin with -",
    "1 to 9, said",
    "1 to 5, not said",
    "own labels",
    "misspelt labels",
    "URDU",
    "EmoBox",
)
"""Read by the reader's own tests in every run of the suite; here through the command."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, server_addresses: dict[str, str]) -> Installation:
    """One home for all cases; each is a corpus of its own."""
    made = tmp_path_factory.mktemp("people")
    return Installation(home=made / "home", corpus=made, environment=server_addresses)


@pytest.mark.parametrize(
    "name", [*CHOSEN, *(pytest.param(name, marks=pytest.mark.nightly) for name in AT_NIGHT)]
)
def test_one_command_reads_it(name: str, home: Installation) -> None:
    case = CASES[name]
    folder = re.sub(r"\W+", "-", name)
    root = home.corpus / folder
    root.mkdir()
    case.make(root)
    recipe = ("--recipe", case.recipe) if case.recipe else ()
    done = home.mer("ingest", "--corpus", str(root), *recipe, *case.command, check=False)
    if case.refused:
        assert done.returncode == 1
        assert (
            re.search(case.refused, done.stderr, re.DOTALL) and "Traceback" not in done.stderr + done.stdout
        )
        return
    assert done.returncode in ((0, 3) if case.left_out else (0,)), done.stdout[-2000:] + done.stderr[-2000:]
    said = " ".join(done.stdout.split())
    assert f"recognised as {case.format}: {len(case.labels)} clips" in said
    for note in case.notes:
        assert re.search(note, said), (note, said)
    with home.catalogue() as catalogue:
        check_catalogue(catalogue, folder, case, root)


def check_catalogue(catalogue: Catalogue, corpus: str, case: Human, root: Path) -> None:
    """Every clip has its label, every clip that was left out its reason."""
    clips = catalogue.clips(corpus)
    assert {clip.name: clip.emotion for clip in clips} == dict(case.labels)
    assert all(Path(clip.path).is_relative_to(root) and Path(clip.path).is_file() for clip in clips)
    assert {item.name: item.reason for item in catalogue.quarantined(corpus)} == dict(case.left_out)
