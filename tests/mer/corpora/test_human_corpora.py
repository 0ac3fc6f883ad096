"""What people have is read as a careful colleague would: every row and file is a clip or is left out with a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from human_corpora import Human
from human_layouts import LAYOUT_CASES
from human_names import NAME_CASES
from human_tables import TABLE_CASES

from flows.options import FlowOptions
from mer.corpora import recognise
from mer.corpora.media_index import media_files
from mer.errors import MerError

CASES = [*NAME_CASES, *TABLE_CASES, *LAYOUT_CASES]


def options_of(case: Human, root: Path) -> FlowOptions:
    """The command line's options of a case, as the flow gets them."""
    names = {
        "--label-map": "label_map",
        "--valence-scale": "valence_scale",
        "--emotions": "emotions",
        "--format": "format",
    }
    given = dict(zip(case.command[::2], case.command[1::2], strict=True))
    return FlowOptions(
        recipe=case.recipe, corpus=str(root), **{names[name]: value for name, value in given.items()}
    )


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_read_as_a_careful_colleague_would(case: Human, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    case.make(root)
    options = options_of(case, root)
    if case.refused:
        with pytest.raises(MerError, match=re.compile(case.refused, re.DOTALL)) as caught:
            recognise(root, emotions=options.load_recipe().emotions, options=options.reading())
        assert "add a labels.csv" not in str(caught.value)
        return
    found = recognise(root, emotions=options.load_recipe().emotions, options=options.reading())
    assert found.format == case.format
    assert {entry.name: entry.emotion for entry in found.entries} == dict(case.labels)
    assert {item.name: item.reason.value for item in found.left_out} == dict(case.left_out)
    for pattern in case.notes:
        assert any(re.search(pattern, note) for note in found.notes), (pattern, found.notes)
    assert len({entry.media for entry in found.entries}) == len(found.entries), "two clips have one file"
    files = set(media_files(root))
    shown = {item.path for item in found.left_out}
    shown |= {path for path in files if path.stem in case.left_out}
    forms = {path for path in files if any(path.stem == entry.media.stem for entry in found.entries)}
    assert {entry.media for entry in found.entries} <= files
    assert files <= {entry.media for entry in found.entries} | shown | forms, "a file is lost"
