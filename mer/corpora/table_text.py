"""Bytes of a text table -> text: byte order marks, and the encodings that spreadsheets write besides UTF-8."""

from __future__ import annotations

import re

from mer.errors import CorpusError

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Byte order marks: they decide alone."""
_OTHER_FILES = (
    (b"PK\x03\x04", "an Excel workbook: call it .xlsx"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls): save it as .xlsx or as CSV"),
    (b"PAR1", "a Parquet table: call it .parquet"),
)
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
_CHINESE_SHARE = 0.8
"""Share of the runs of bytes over 127 with two or more of them from which on a text is Chinese: accented letters stand alone."""


def decoded(content: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """The text of a table, and a note where its encoding had to be guessed.

    Args:
        content: of the file.
        name: what messages call it.

    Raises:
        CorpusError: it is no text.
    """
    for beginning, what in _OTHER_FILES:
        if content.startswith(beginning):
            raise CorpusError(f"{name} is {what}")
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _strictly(content, encoding, name), ()
    if b"\0" in content:
        utf_16 = _utf_16_without_mark(content)
        if utf_16 is None:
            raise CorpusError(f"{name} is no text (it has zero bytes): save the table as CSV in UTF-8")
        return _strictly(content, utf_16, name), (f"{name}: read as UTF-16 without a byte order mark",)
    try:
        return content.decode("utf-8"), ()
    except UnicodeDecodeError:
        pass
    encoding, writer = _guessed(content)
    note = f"{name} is not UTF-8: read as {encoding} ({writer}); save it as UTF-8 if letters look wrong"
    return content.decode(encoding, "replace"), (note,)


def _strictly(content: bytes, encoding: str, name: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        shown = encoding.removesuffix("-sig").upper()
        raise CorpusError(
            f"{name} begins like {shown} and is not (byte {error.start}): save it as UTF-8"
        ) from error


def _utf_16_without_mark(content: bytes) -> str | None:
    """Latin text in UTF-16 has a zero in every second byte."""
    half = max(1, len(content) // 2)
    even, odd = content[::2].count(0) / half, content[1::2].count(0) / half
    if len(content) % 2 or max(even, odd) < 0.5 or min(even, odd) > 0:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _guessed(content: bytes) -> tuple[str, str]:
    runs = _HIGH_BYTES.findall(content)
    if sum(len(run) > 1 for run in runs) >= _CHINESE_SHARE * len(runs):
        try:
            content.decode("gb18030")
        except UnicodeDecodeError:
            pass
        else:
            return "gb18030", "Chinese"
    return "cp1252", "Western European"
