"""Names in a table that are nearly those of files: what spreadsheets, systems and hands do to names.

An exact name always comes first. Otherwise a row gets the file with which it alone shares a normalised name, in the first of
these steps that finds one: without folders and media suffix (`audio\\clip01.wav`), in one form of Unicode, case and blanks, with
one separator (`clip-01`, `clip 01`), without leading zeros (`1`, `1.0` for `0001`). A normalised name that two files or two rows
share decides nothing: nothing is merged. Nor does `x.wav` get the file that another row calls `x`: it contests it.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from functools import cached_property

from mer.media.suffixes import MEDIA_SUFFIXES

_SEPARATORS = re.compile(r"[\s_\-.]+")
_BLANKS = re.compile(r"\s+")
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_WHOLE_NUMBER = re.compile(r"(\d+)\.0+")
_BESIDE = 12
"""Neighbours in alphabetical order, from the front and from the back, that are compared with a name."""
_ALIKE = 0.6
"""Similarity (difflib's ratio) from which on a name is worth showing."""


def plain_path(text: str) -> str:
    """A path as a table has it, with `/` between folders."""
    return text.replace("\\", "/").strip()


def without_folders(text: str) -> str:
    """The name of a file without its folders and without the suffix of media."""
    name = plain_path(text).rstrip("/").rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in MEDIA_SUFFIXES else name


def _one_form(text: str) -> str:
    return _BLANKS.sub(" ", unicodedata.normalize("NFC", without_folders(text)).casefold()).strip()


def _one_separator(text: str) -> str:
    text = _one_form(text)
    whole = _WHOLE_NUMBER.fullmatch(text)
    return whole[1] if whole else _SEPARATORS.sub("_", text).strip("_")


def _without_zeros(text: str) -> str:
    return _LEADING_ZEROS.sub("", _one_separator(text))


_STEPS: tuple[Callable[[str], str], ...] = (without_folders, _one_form, _one_separator, _without_zeros)


def loosest_key(text: str) -> str:
    """What all near forms of a name have in common."""
    return _without_zeros(text)


def near_matches(names: Collection[str], files: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Names in a table -> the file that each alone is near to; and those that contest a file -> this file.

    Exact names are in neither.

    Args:
        names: all names of the table, also those that are exactly a file's.
        files: names of all files (stems), each once.
    """
    matches: dict[str, str] = {}
    contested: dict[str, str] = {}
    exact = set(names) & set(files)
    left = [name for name in names if name not in exact]
    for step in _STEPS:
        if not left:
            break
        of_files = {step(file): file for file in files}
        times = Counter(map(step, files))
        claims = Counter(map(step, names))
        for name in left:
            key = step(name)
            if not key or times[key] != 1:
                continue
            if claims[key] == 1:
                matches[name] = of_files[key]
            elif of_files[key] not in exact or key == name.rpartition(".")[0]:
                contested[name] = of_files[key]  # `x.wav` means the file that another row calls x
        left = [name for name in left if name not in matches and name not in contested]
    files_in_dispute = set(contested.values())
    for name in [name for name, file in matches.items() if file in files_in_dispute]:
        contested[name] = matches.pop(name)
    return matches, contested


class NearestNames:
    """The names that are spelt most like another one, for messages; a look-up takes no walk over all names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)

    def of(self, name: str, count: int = 3) -> list[str]:
        """Up to `count` names, the most similar first; none that is not similar at all."""
        key = loosest_key(name)
        beside = {
            entry
            for entries, at in ((self._forward, key), (self._backward, key[::-1]))
            for _, entry in _around(entries, at)
        }
        rated = sorted(
            (-difflib.SequenceMatcher(None, key, loosest_key(entry)).ratio(), entry) for entry in beside
        )
        return [entry for rating, entry in rated[:count] if -rating >= _ALIKE]

    @cached_property
    def _forward(self) -> list[tuple[str, str]]:
        return sorted((loosest_key(name), name) for name in self._names)

    @cached_property
    def _backward(self) -> list[tuple[str, str]]:
        return sorted((loosest_key(name)[::-1], name) for name in self._names)


def _around(entries: list[tuple[str, str]], key: str) -> list[tuple[str, str]]:
    at = bisect_left(entries, (key, ""))
    return entries[max(0, at - _BESIDE) : at + _BESIDE]
