"""Names that users give: of a recipe (and so of a model), a member of an ensemble, a class, a corpus, a study.

Names end up in file names, object keys, tables, URLs of servers and marked-up text of terminals; none of these has to quote them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

MAX_CHARACTERS = 64
"""Longest name, and longest piece of a study's name."""

MAX_PIECES = 4
"""Most pieces of a study's name."""

FOLDER_CHARACTERS = " ()+"
"""What the name of a folder may have besides, where it becomes the name of a corpus."""

STORED: Mapping[str, bool] = {"stored": True}
"""Validation context of records that are stored already: whatever their names are, they stay readable."""

_PUNCTUATION = "_.-"
_SHOWN_CHARACTERS = 40


def check_name(
    value: str, what: str, *, besides: str = "", remedy: str = "give it another name", separator: str = ""
) -> str:
    """Return `value` if it may be a name.

    A name has 1 to 64 characters: a letter or digit of any script, then letters (with their marks), digits, `_`, `.` and `-`, but
    no two dots in a row.

    Args:
        value: what a user gave.
        what: whose name it is, the first words of the message, e.g. `ensemble.members`.
        besides: further characters that are allowed after the first one.
        remedy: what to do about it, the end of the message.
        separator: what stands between the pieces of the name, of which each is a name; empty: the name has one piece.

    Raises:
        ValueError: it may not.
    """
    pieces = value.split(separator) if separator else [value]
    if len(pieces) <= MAX_PIECES and all(_is_name(piece, besides) for piece in pieces):
        return value
    characters = ", ".join(f"`{character}`" for character in (*_PUNCTUATION, *besides, *separator))
    raise ValueError(
        f"{what}: expected 1 to {MAX_CHARACTERS} letters, digits, {characters}, a letter or digit first and no `..`, found "
        f"{_shown(value)}; {remedy}"
    )


def check_study_name(value: str) -> str:
    """Return the name of a search's study: names with `/` between them, as in `demo/my clips (2)/1f0c`.

    Raises:
        ValueError: it is no such name.
    """
    return check_name(
        value, "name of a study", besides=FOLDER_CHARACTERS, separator="/", remedy="give another --study"
    )


def check_folder_name(value: str) -> str:
    """Return the name of a corpus' folder, which becomes the name of the corpus.

    Raises:
        ValueError: it cannot be one.
    """
    remedy = "give the corpus a name: --name NAME (`corpus_name`)"
    return check_name(value, "name of the corpus' folder", besides=FOLDER_CHARACTERS, remedy=remedy)


def is_stored(context: Any) -> bool:
    """Whether a validation context says that the record was stored before, under the rules of then."""
    return isinstance(context, Mapping) and bool(context.get("stored"))


def _is_name(value: str, besides: str) -> bool:
    if not 1 <= len(value) <= MAX_CHARACTERS or ".." in value:
        return False
    return _category(value[0]) in "LN" and all(
        character in _PUNCTUATION or character in besides or _category(character) in "LNM"
        for character in value
    )


def _category(character: str) -> str:
    """L letter, N number, M mark (a part of letters in many scripts)."""
    return unicodedata.category(character)[0]


def _shown(value: str) -> str:
    """The text, escaped; of a long one its beginning and its length."""
    if len(value) <= _SHOWN_CHARACTERS:
        return repr(value)
    return f"{value[:_SHOWN_CHARACTERS]!r} and so on ({len(value)} characters)"
