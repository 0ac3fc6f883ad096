"""Tables of implementations: a name that configuration gives -> where its code is, imported on first use.

A stage's key follows the code that the stage may run, as its text is written. A table hides its entries from that: only the entry
that a configuration names counts, so the rest may change, and entries may be added, without computing anything again. Beside
every table there is a function that says, without importing it, which implementation a configuration names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any


class Implementations(Mapping[str, str]):
    """Name -> `module:attribute`.

    Make tables by calling this class at the top of a module: `tasks` finds them in its text by that call.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, name: str) -> Any:
        """The implementation itself. Raises KeyError for a name that is not in the table."""
        module, _, attribute = self._entries[name].partition(":")
        return getattr(import_module(module), attribute)
