"""Names of the rows of a prediction: what tells its clips apart, also where capital letters do not count."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path

from mer.media.sniff import printable


def answer_names(files: Sequence[tuple[str, Path]]) -> list[str]:
    """A name for each file: the clip's; where several share one, their paths below the folder they share.

    As names of a corpus are made: `a/x.wav` and `b/x.wav` are `a__x` and `b__x`; the suffix is added where it alone differs.
    Names that differ in capital letters or in how accents are written alone are taken for equal, as many file systems and
    spreadsheets do; what still is equal is numbered.

    Args:
        files: name of the clip, and its file; no file twice.
    """
    names = [printable(name) for name, _ in files]
    paths = [path.absolute() for _, path in files]
    renamed: set[int] = set()
    for with_suffix in (False, True):
        sharing = _sharing(names)
        if not sharing:
            return names
        renamed.update(sharing)
        root = Path(commonpath([str(paths[row].parent) for row in renamed]))
        for row in sharing:
            below = paths[row].relative_to(root)
            names[row] = printable("__".join((below if with_suffix else below.with_suffix("")).parts))
    times: Counter[str] = Counter()
    known = set(map(_folded, names))
    for row, name in enumerate(names):
        times[_folded(name)] += 1
        if (number := times[_folded(name)]) > 1:
            while _folded(f"{name}~{number}") in known:
                number += 1
            names[row] = f"{name}~{number}"
            known.add(_folded(names[row]))
    return names


def _sharing(names: Sequence[str]) -> list[int]:
    times = Counter(map(_folded, names))
    return [row for row, name in enumerate(names) if times[_folded(name)] > 1]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
