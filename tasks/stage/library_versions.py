"""Versions of the libraries that compute, recorded with every artifact; they are not part of any key.

An upgrade of torch changes last digits, not meaning: with it in the keys, every home would compute everything anew after every
upgrade, features of whole corpora included. An artifact stays what it is; the record says what made it, and a run that finds one
made by other versions says so in a line. Who wants it made anew takes it out of the store, or starts from another home.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version

from infra.catalogue import ArtifactRecord

LIBRARY = "mer"
"""Its implementations are this project's own, whose code is in the keys."""
COMPUTING = ("torch", "transformers", "peft")
"""Distributions whose versions decide last digits."""

_logged: set[tuple[str, tuple[tuple[str, str], ...]]] = set()


def library_versions(implementations: Iterable[str] = ()) -> dict[str, str]:
    """Distribution -> version: those that compute, and those that add an implementation (`module:attribute`) from outside."""
    added = frozenset(
        implementation for implementation in implementations if not implementation.startswith(f"{LIBRARY}.")
    )
    return {name: installed for name in (*COMPUTING, *_naming(added)) if (installed := _version(name))}


def tell_other_libraries(record: ArtifactRecord | None, libraries: Mapping[str, str]) -> None:
    """Log, once per process for each kind of artifact, that one which is used was made by other versions."""
    if record is None:
        return
    others = tuple(
        (name, then) for name, then in sorted(record.libraries.items()) if libraries.get(name, then) != then
    )
    if others and (record.ref.kind, others) not in _logged:
        _logged.add((record.ref.kind, others))
        made = ", ".join(f"{name} {then} (now {libraries[name]})" for name, then in others)
        logging.getLogger(__name__).warning(
            "%s %s is used as it was made, by %s", record.ref.kind, record.ref.key[:12], made
        )


@cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


@cache
def _naming(implementations: frozenset[str]) -> tuple[str, ...]:
    """Distributions whose entry points name one of these."""
    if not implementations:
        return ()
    named = {
        distribution.name
        for distribution in distributions()
        if any(f"{entry.module}:{entry.attr}" in implementations for entry in distribution.entry_points)
    }
    return tuple(sorted(named))
