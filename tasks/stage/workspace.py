"""One process' handles on the stores: settings, catalogue, artifacts, tracker.

Tasks never receive these as parameters (open files and sessions do not cross a task border); each process opens its own, once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts import ArtifactStore
from infra.catalogue import Catalogue, open_catalogue
from infra.objects import open_store
from infra.settings import Settings, load_settings
from infra.tracking import Tracker

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
    """The workspace the environment asks for, opened once per process."""
    settings = load_settings()
    with _lock:
        if settings not in _open:
            _open[settings] = Workspace(
                settings=settings,
                catalogue=open_catalogue(settings),
                artifacts=ArtifactStore(open_store(settings), cache=settings.cache_folder),
                tracker=Tracker(settings),
            )
        return _open[settings]
