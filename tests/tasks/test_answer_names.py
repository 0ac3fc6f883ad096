"""Rows of a prediction have names that tell them apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.serve.answer_names import answer_names

CASES = {
    "one file": (["a.mp4"], ["a"]),
    "folders tell": (["a/x.wav", "b/x.wav", "b/z.wav"], ["a__x", "b__x", "z"]),
    "the suffix tells": (["x.wav", "x.mp4"], ["x.wav", "x.mp4"]),
    "folder and suffix": (["a/x.wav", "a/x.mp4", "b/x.wav"], ["a__x.wav", "a__x.mp4", "b__x"]),
    "capitals": (["X.wav", "x.mp4"], ["X.wav", "x.mp4"]),
    "capitals of one suffix": (["X.wav", "x.wav"], ["X.wav", "x.wav~2"]),
    "composed and decomposed": (["caf\u00e9.wav", "cafe\u0301.mp4"], ["caf\u00e9.wav", "cafe\u0301.mp4"]),
    "a name that looks like a path": (["a/x.wav", "b/x.wav", "a__x.wav"], ["a__x.wav", "b__x", "a__x.wav~2"]),
    "two paths of one spelling": (
        ["a/b__c.wav", "a__b/c.wav", "c.wav", "b__c.wav"],
        ["a__b__c.wav", "a__b__c.wav~2", "c", "b__c"],
    ),
    "not UTF-8": (["a/\udce9.wav", "b/\udce9.wav"], ["a__\\udce9", "b__\\udce9"]),
    "a numbered name that is there": (["X.wav", "x.wav", "x.wav~2.wav"], ["X.wav", "x.wav~3", "x.wav~2"]),
}


@pytest.mark.parametrize("case", CASES)
def test_names(case: str, tmp_path: Path) -> None:
    files, expected = CASES[case]
    names = answer_names([(Path(file).stem, tmp_path / file) for file in files])
    assert len({name.casefold() for name in names}) == len(files), names
    assert names == expected
