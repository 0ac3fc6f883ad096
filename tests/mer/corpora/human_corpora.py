"""Corpora of a few made clips, as people lay them out and with the mistakes that people make; read here and end to end."""

from __future__ import annotations

import math
import struct
import unicodedata
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RATE = 8000
LABELS = ("happy", "happy", "sad", "sad", "angry", "angry", "neutral", "neutral")
"""Of the eight clips of most corpora, in their order."""
NAMES = tuple(f"clip_{number:02}" for number in range(len(LABELS)))


@dataclass(frozen=True)
class Human:
    """A corpus and what a careful colleague would make of it."""

    id: str
    make: Callable[[Path], None]
    labels: Mapping[str, str | None] = field(default_factory=lambda: dict(zip(NAMES, LABELS, strict=True)))
    """Name of a clip -> emotion."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Name -> reason code."""
    notes: Sequence[str] = ()
    """Patterns that the account must have."""
    format: str = "table"
    command: Sequence[str] = ()
    """Options of the command line."""
    recipe: str = "demo"
    """Empty: none is named, as with `mer run --corpus`."""
    refused: str = ""
    """Pattern of the one message, where the corpus is refused."""


def wav(path: Path, pitch: float = 220.0, seconds: float = 0.4) -> None:
    """A short tone; other pitches are other contents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [int(9000 * math.sin(2 * math.pi * pitch * n / RATE)) for n in range(int(RATE * seconds))]
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, RATE, len(frames), "NONE", ""))
        out.writeframes(struct.pack(f"<{len(frames)}h", *frames))


def wavs(root: Path, files: Sequence[str]) -> None:
    """Tones of distinct pitches."""
    for number, file in enumerate(files):
        wav(root / file, 200.0 + 7 * number)


def corpus(
    rows: Sequence[Sequence[str]],
    files: Sequence[str] = tuple(f"{name}.wav" for name in NAMES),
    *,
    header: str = "name,emotion",
    table: str = "labels.csv",
    encode: Callable[[str], bytes] = str.encode,
) -> Callable[[Path], None]:
    """A table with these rows beside these files."""

    def make(root: Path) -> None:
        wavs(root, files)
        separator = ";" if ";" in header else "\t" if "\t" in header else ","
        text = "\n".join([header, *(separator.join(row) for row in rows)]) + "\n"
        (root / table).write_bytes(encode(text))

    return make


def rows(name: Callable[[str], str] = str, *more: str) -> list[list[str]]:
    """Rows of the eight clips under other names, with further cells that are the same in all rows."""
    return [[name(clip), label, *more] for clip, label in zip(NAMES, LABELS, strict=True)]


def numbered(name: Callable[[int], str]) -> list[list[str]]:
    """Rows of the eight clips under names made of their numbers, from 1."""
    return [[name(number), label] for number, label in enumerate(LABELS, start=1)]


def workbook(
    cells: Sequence[Sequence[object]], files: Sequence[str], *, sheets: Sequence[str] = ("Sheet1",)
) -> Callable[[Path], None]:
    """labels.xlsx: the cells are in its last sheet, the others hold a remark."""

    def make(root: Path) -> None:
        import openpyxl

        wavs(root, files)
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title in sheets:
            sheet = book.create_sheet(title)
            for row in cells if title == sheets[-1] else [["made by Ann"]]:
                sheet.append(list(row))
        book.save(root / "labels.xlsx")

    return make


def named(names: Sequence[str], labels: Sequence[str | None] = LABELS) -> dict[str, str | None]:
    """Name -> emotion."""
    return dict(zip(names, labels, strict=True))


def composed(text: str) -> str:
    """NFC: é is one character."""
    return unicodedata.normalize("NFC", text)


def decomposed(text: str) -> str:
    """NFD, as macOS writes names: é is e and an accent."""
    return unicodedata.normalize("NFD", text)
