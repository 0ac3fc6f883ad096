"""Catalogue and object store brought together by a person: a catalogue made anew, a store that was copied or moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts import ArtifactRef, ArtifactStore
from infra.catalogue import Catalogue, open_database
from infra.errors import CatalogueError, StoreMismatch
from infra.home import prepare_home
from infra.objects import open_store
from infra.objects.layout import IDENTITY
from infra.rebuild import Rebuilt, rebuild
from infra.records import require_known, write_missing
from infra.settings import Settings
from infra.shown_address import shown_address
from infra.store_identity import identity_bytes, stored_identity
from tasks.stage.backup import readable_database, referred_artifacts


@dataclass(frozen=True)
class RebuildReport:
    """A catalogue that was made anew."""

    rebuilt: Rebuilt
    set_aside: Path | None
    """Where the damaged file is now; None: there was none."""
    champions: tuple[str, ...]
    """Model and version."""


def rebuild_home(settings: Settings) -> RebuildReport:
    """Bring everything into the catalogue that the object store knows and it lacks; a damaged one is set aside first.

    Raises:
        StoreMismatch: the catalogue is not empty and belongs to another store.
        StoreUnavailable, CatalogueUnavailable: nothing was changed.
    """
    prepare_home(settings.home)
    store = open_store(settings)
    artifacts = ArtifactStore(store, settings.cache_folder)
    set_aside, database = readable_database(settings)
    with Catalogue(database) as catalogue:

        def contents(ref: ArtifactRef) -> Sequence[str]:
            from mer.features.shard import INDEX, presence_in

            artifacts.verify(ref)
            return list(presence_in(artifacts.read(ref, INDEX)))

        rebuilt = rebuild(catalogue, store, artifacts, settings.object_store_url, contents)
        names = sorted({version.name for version in catalogue.model_versions()})
        rows = [champion for name in names if (champion := catalogue.champion(name)) is not None]
        require_known(catalogue, store)
    return RebuildReport(rebuilt, set_aside, tuple(f"{row.name} version {row.version}" for row in rows))


@dataclass(frozen=True)
class AdoptionReport:
    """A store that is the catalogue's now."""

    address: str
    artifacts: int
    missing: int
    """Artifacts of the catalogue that are not in it."""


def adopt_store(settings: Settings, *, anyway: bool) -> AdoptionReport:
    """Make the object store the catalogue's own: it was copied or moved there on purpose.

    Args:
        settings: of the home.
        anyway: also if the store has another identity, or lacks artifacts of the catalogue.

    Raises:
        CatalogueError: the catalogue is empty, or the store lacks what it refers to.
        StoreMismatch: the store belongs to another catalogue.
    """
    prepare_home(settings.home)
    store = open_store(settings)
    artifacts = ArtifactStore(store, settings.cache_folder)
    shown = shown_address(settings.object_store_url)
    with Catalogue(open_database(settings)) as catalogue:
        if catalogue.is_empty():
            raise CatalogueError(
                f"the catalogue at {catalogue.database.shown_url} is empty: `mer rebuild` makes it anew from the store at {shown}"
            )
        try:
            stored = stored_identity(store, settings.object_store_url)
        except StoreMismatch:
            if not anyway:
                raise
            stored = None
        row = catalogue.propose_identity(shown)
        if stored not in (None, row.identity) and not anyway:
            raise StoreMismatch(
                f"the object store at {shown} belongs to another catalogue, which will refuse it once this one has adopted it: "
                "expected a copy made for this catalogue; if it is one, `mer adopt --anyway`"
            )
        refs = referred_artifacts(catalogue)
        missing = sum(artifacts.lookup(ref.kind, ref.key) is None for ref in refs)
        if missing and not anyway:
            raise CatalogueError(
                f"the object store at {shown} lacks {missing} of the {len(refs)} artifacts of the catalogue: expected a whole "
                "copy; `mer adopt --anyway` takes it as it is, and what is missing is computed again"
            )
        store.put(IDENTITY, identity_bytes(row.identity))
        catalogue.replace_identity(row.identity, shown)
        write_missing(catalogue, store)
        require_known(catalogue, store)
    return AdoptionReport(shown, len(refs), missing)
