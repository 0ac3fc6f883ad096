"""Classes that a corpus was catalogued with: a new folder in it changes them only where somebody asks for it."""

from __future__ import annotations

from pathlib import Path

from tasks.stage.workspace import existing_workspace


def catalogued_classes(corpus: str, root: Path, *, named: bool) -> tuple[str, ...] | None:
    """The classes that a corpus has in the catalogue, in index order; None: it is new. Nothing is written.

    Args:
        corpus: its name in the catalogue.
        root: its folder, resolved.
        named: somebody gave the name. A folder that is only called like a catalogued one, which is still there, is
            another corpus.

    Raises:
        SettingsError, HomeUnusable, CatalogueUnavailable, StoreUnavailable: see `existing_workspace`.
    """
    if (space := existing_workspace()) is None:
        return None
    row = next((row for row in space.catalogue.corpora() if row.name == corpus), None)
    if row is None or not row.emotions:
        return None
    if not named and row.root != root and row.root.is_dir():
        return None
    return row.emotions
