"""One process' handles on the stores: settings, catalogue, artifacts, tracker.

Tasks never receive these as parameters (open files and sessions do not cross a task border); each process opens its own, once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts import ArtifactStore
from infra.catalogue import Catalogue, has_catalogue, open_database
from infra.home import prepare_home
from infra.loopback import ask_loopback_directly
from infra.objects import open_store
from infra.observing import observe_if_asked
from infra.records import RecordingCatalogue
from infra.services.stores import require_stores
from infra.settings import Settings, load_settings
from infra.store_identity import belong_together, require_unused
from infra.tracking import Tracker
from tasks.stage.patient_client import be_patient_from_the_start

_lock = threading.Lock()
_open: dict[Settings, Workspace] = {}


@dataclass(frozen=True)
class Workspace:
    """The stores of one `MER_HOME`."""

    settings: Settings
    catalogue: Catalogue
    artifacts: ArtifactStore
    tracker: Tracker

    @property
    def weights(self) -> Path:
        """Folder of converted encoder weights."""
        return self.settings.weights_folder

    @property
    def work(self) -> Path:
        """Folder of unfinished stages: checkpoints live here until the stage commits."""
        return self.settings.checkpoint_folder


def workspace() -> Workspace:
    """The workspace the environment asks for, opened once per process; its home is made if it is not there.

    Raises:
        SettingsError, HomeUnusable, CatalogueUnavailable, StoreUnavailable: it cannot be opened.
        CatalogueDamaged, CatalogueIncomplete, StoreMismatch: catalogue and object store cannot be used together.
    """
    settings = load_settings()
    with _lock:
        if settings not in _open:
            prepare_home(settings.home)
            ask_loopback_directly()
            observe_if_asked(settings)
            be_patient_from_the_start()  # here, since every process that executes tasks comes by
            _open[settings] = _opened(settings)
        return _open[settings]


def _opened(settings: Settings) -> Workspace:
    require_stores(settings)
    database = open_database(settings)
    try:
        store = open_store(settings)
        catalogue = RecordingCatalogue(database, store)
        belong_together(catalogue, store, settings.object_store_url)
    except BaseException:
        database.close()
        raise
    artifacts = ArtifactStore(store, cache=settings.cache_folder)
    return Workspace(settings=settings, catalogue=catalogue, artifacts=artifacts, tracker=Tracker(settings))


def existing_workspace() -> Workspace | None:
    """The workspace for a command that only reads: None where nothing was written yet, and then nothing is made.

    Raises: see `workspace`.
    """
    settings = load_settings()
    if has_catalogue(settings):
        return workspace()
    require_unused(settings)
    return None


def reading_workspace() -> Workspace:
    """The same for a command that needs what was written.

    Raises:
        LookupError: nothing was written yet.
        Others: see `workspace`.
    """
    if (space := existing_workspace()) is None:
        raise LookupError(
            f"no model is registered yet, nothing is in the home {load_settings().home}: `mer run` makes one, MER_HOME "
            "names another home"
        )
    return space
