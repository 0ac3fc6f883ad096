"""Paths as databases store them: text is UTF-8 there, and a file may have a name that is not.

Python reads a byte that is no UTF-8 as a lone surrogate, which no database takes. It is stored as a character of the last private
plane of Unicode, and read back as the byte that it was.
"""

from __future__ import annotations

_BYTES = range(0xDC80, 0xDD00)
_PLANE = 0x10F000
_STORED = {byte: byte - 0xDC00 + _PLANE for byte in _BYTES}
_READ = {stored: byte for byte, stored in _STORED.items()}


def stored_path(path: str) -> str:
    """The path as text that any database holds."""
    return path.translate(_STORED)


def read_path(text: str) -> str:
    """The path of what `stored_path` gave."""
    return text.translate(_READ)
