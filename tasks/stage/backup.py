"""Backing the home's catalogue up, and putting a backup back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.artifacts import ArtifactRef, ArtifactStore
from infra.catalogue import Catalogue, has_catalogue, open_database
from infra.catalogue.backing_up import back_up
from infra.catalogue.backups import backups_in
from infra.catalogue.database import Database
from infra.catalogue.dump import check_dump, holds_something
from infra.catalogue.loading import load
from infra.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    BackupUnusable,
    CatalogueDamaged,
    CatalogueError,
    CatalogueIncomplete,
    StoreMismatch,
)
from infra.home import prepare_home
from infra.objects import FolderStore, ObjectStore, open_store
from infra.objects.layout import BLOBS, IDENTITY, PROBES
from infra.records import write_missing
from infra.settings import Settings
from infra.shown_address import shown_address
from infra.store_identity import belong_together, stored_identity
from infra.whole_files import sweep_beside, temporary_name

OBJECTS = "objects"
"""Folder beside a backup that holds a copy of the object store."""
_LISTED = 5


@dataclass(frozen=True)
class BackupReport:
    """A backup that was made."""

    path: Path
    artifacts: int
    """Artifacts that it refers to."""
    missing: tuple[str, ...]
    """Those that are not in the store."""
    objects: int | None
    """Objects copied; None: not asked for."""


def back_up_home(settings: Settings, out: Path | None, *, with_objects: bool) -> BackupReport:
    """Write a consistent backup of the catalogue, while others may be using it.

    Args:
        settings: of the home.
        out: folder to write to; None: `backups` of the home.
        with_objects: copy the object store beside it, as a folder that can be used as one.

    Raises:
        LookupError: there is no catalogue.
        CatalogueIncomplete: the catalogue is empty and the store is not.
        CatalogueDamaged, CatalogueUnavailable, StoreUnavailable, StoreFull, WriteFailed: it cannot be made.
    """
    if not has_catalogue(settings):
        raise LookupError(
            f"there is no catalogue in the home {settings.home} to back up: `mer run` makes one"
        )
    store = open_store(settings)
    artifacts = ArtifactStore(store, settings.cache_folder)
    folder = settings.backup_folder if out is None else out
    with Catalogue(open_database(settings)) as catalogue:
        if catalogue.is_empty():  # one that was lost must not become the newest backup
            belong_together(catalogue, store, settings.object_store_url)
        write_missing(catalogue, store)
        path = back_up(catalogue.database, folder)
        refs = [record.ref for record in catalogue.artifacts()]
    missing = [f"{ref.kind}/{ref.key}" for ref in refs if artifacts.lookup(ref.kind, ref.key) is None]
    copied = _copy_objects(store, folder / OBJECTS) if with_objects else None
    return BackupReport(path, len(refs), tuple(missing), copied)


def _copy_objects(store: ObjectStore, folder: Path) -> int:
    """Copy what is not there yet: contents first, manifests and records behind them, the identity last."""
    target = FolderStore(folder)
    keys = sorted(store.keys(""), key=lambda key: (not key.startswith(BLOBS), key == IDENTITY, key))
    copied = 0
    sweep_beside(folder)
    scratch = folder.with_name(temporary_name(folder.name))
    try:
        for key in keys:
            if key.startswith(PROBES) or (key.startswith(BLOBS) and target.exists(key)):
                continue
            store.get_file(key, scratch)
            target.put(key, scratch)
            copied += 1
    finally:
        scratch.unlink(missing_ok=True)
    return copied


@dataclass(frozen=True)
class RestoreReport:
    """A backup that was put back."""

    path: Path
    rows: int
    skipped: tuple[str, ...]
    """Why newer backups were not taken."""
    set_aside: Path | None
    """Where the damaged file is now; None: there was none."""
    before: Path | None
    """Backup of what was there."""
    remark: str
    """What catalogue and store lack of each other; empty: nothing."""


def restore_home(settings: Settings, file: Path | None, *, anyway: bool) -> RestoreReport:
    """Put a backup in the place of the catalogue, in one transaction.

    Args:
        settings: of the home.
        file: the backup; None: the newest one of the home that is not damaged.
        anyway: replace a catalogue that can be read and holds something; it is backed up first.

    Raises:
        BackupUnusable: there is no backup that can be used; nothing was changed.
        CatalogueError: the catalogue holds something and `anyway` is not said.
        CatalogueUnavailable: somebody holds it.
    """
    prepare_home(settings.home)
    path, skipped = _usable(settings, file)
    check_dump(path)
    set_aside, before = _make_room(settings, path, anyway=anyway)
    database = Database(
        settings.database_url.get_secret_value(), settings.catalogue_timeout_seconds, settings.backup_folder
    )
    try:
        rows = load(database, path)
    finally:
        database.close()
    _pair_again(settings)
    return RestoreReport(path, rows, tuple(skipped), set_aside, before, _remark(settings))


def _pair_again(settings: Settings) -> None:
    """A backup of before catalogues had an identity (every home has one such, made before its schema was changed) belongs to the
    home's store if that holds all that it refers to.
    """
    store = open_store(settings)
    artifacts = ArtifactStore(store, settings.cache_folder)
    with Catalogue(open_database(settings)) as catalogue:
        if catalogue.store_identity() is not None or catalogue.is_empty():
            return
        refs = referred_artifacts(catalogue)
        stored = stored_identity(store, settings.object_store_url)
        if stored is not None and refs and all(artifacts.lookup(ref.kind, ref.key) == ref for ref in refs):
            catalogue.replace_identity(stored, shown_address(settings.object_store_url))


def referred_artifacts(catalogue: Catalogue) -> set[ArtifactRef]:
    """Every artifact that the catalogue knows."""
    refs = {record.ref for record in catalogue.artifacts()}
    refs |= {version.artifact for version in catalogue.model_versions() if version.retired_at is None}
    return refs | {shard for _, shard in catalogue.feature_shards()}


def _usable(settings: Settings, file: Path | None) -> tuple[Path, list[str]]:
    if file is not None:
        check_dump(file)
        return file, []
    skipped: list[str] = []
    for backup in reversed(backups_in(settings.backup_folder)):
        try:
            check_dump(backup.path)
        except BackupUnusable as error:
            skipped.append(str(error))
            continue
        if holds_something(backup.path):
            return backup.path, skipped
        skipped.append(f"the backup {backup.path} is of an empty catalogue")
    found = f"; {skipped[0]}" if skipped else ""
    raise BackupUnusable(
        f"expected a backup in {settings.backup_folder}, found none that can be used{found}; name one (`mer restore FILE`), or "
        "`mer rebuild` makes the catalogue anew from the object store"
    )


def _make_room(settings: Settings, backup: Path, *, anyway: bool) -> tuple[Path | None, Path | None]:
    """See that nothing is lost by writing over what is there: (what was damaged, backup of what was not)."""
    if not has_catalogue(settings):
        return None, None
    try:
        set_aside, database = readable_database(settings)
    except CatalogueDamaged:
        if not anyway:
            raise
        return None, None  # a server's tables are dropped with the backup's being written
    with Catalogue(database) as catalogue:
        if catalogue.is_empty():
            return set_aside, None
        if not anyway:
            raise CatalogueError(
                f"the catalogue at {database.shown_url} can be read and is not empty: `mer restore --anyway` puts {backup.name} "
                "in its place, after a backup of what is there"
            )
        return set_aside, back_up(database, settings.backup_folder)


def readable_database(settings: Settings) -> tuple[Path | None, Database]:
    """The home's database with a schema; a damaged file is renamed first, and a new one made: (what it is called now, database).

    Raises:
        CatalogueDamaged: a server's database, which only its owner can clear.
    """
    url = settings.database_url.get_secret_value()
    database = None
    try:
        database = open_database(settings)
        if database.file is not None:
            with database.reading() as connection:
                found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if found != "ok":
                raise database.damaged(str(found))
        return None, database
    except CatalogueDamaged:
        if database is not None:
            database.close()
        from infra.catalogue.database import parse_url
        from infra.sqlite_url import sqlite_file

        file = sqlite_file(parse_url(url))
        if file is None:
            raise
        return _set_aside(file), open_database(settings)


def _set_aside(file: Path) -> Path:
    """Rename a database's file and what belongs to it."""
    number = 1
    while (aside := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm"):
        side = file.with_name(file.name + suffix)
        if side.exists():
            side.rename(aside.with_name(aside.name + suffix))
    return file.rename(aside)


def _remark(settings: Settings) -> str:
    store = open_store(settings)
    artifacts = ArtifactStore(store, settings.cache_folder)
    with Catalogue(open_database(settings)) as catalogue:
        try:
            belong_together(catalogue, store, settings.object_store_url)
        except (CatalogueIncomplete, StoreMismatch) as error:
            return str(error)
        missing = []
        for version in catalogue.model_versions():
            if version.retired_at is not None:
                continue
            try:
                artifacts.verify(version.artifact)
            except (ArtifactMissing, ArtifactCorrupt) as error:
                missing.append(f"{version.name} version {version.version}: {error}")
    return "; ".join(missing[:_LISTED])
