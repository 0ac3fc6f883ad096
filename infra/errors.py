"""The exception tree of stores and servers.

    InfraError                    expected / found / what to do, plus data attributes
    ├── SettingsError             a setting that cannot work (unknown URL scheme, missing key)
    ├── HomeUnusable              the home cannot be made, written to, or locked in
    ├── InvalidKey                an object key or file name that could leave its folder
    ├── StoreUnavailable          transient: the object store did not answer, or broke off
    ├── WriteFailed               a file that cannot be written; carries path and bytes
    │   └── StoreFull             because no space is left
    ├── StoreUnsuitable           the object store ignores conditional creation
    ├── ObjectMissing             no object under this key
    ├── ArtifactMissing           no manifest, or a manifest whose file is gone
    ├── ArtifactCorrupt           bytes that do not match their sha256
    ├── CatalogueUnavailable      transient: database locked, restarting or unreachable
    ├── CatalogueError            a row that does not exist, or a schema of another version
    │   └── ReviewRefused         a reviewer's decision that cannot be written: nothing was
    ├── CatalogueDamaged          what lies there is no catalogue, or a broken one
    ├── CatalogueIncomplete       the object store knows of models or promotions that the catalogue does not
    ├── StoreMismatch             catalogue and object store do not belong together
    ├── BackupUnusable            a backup that is cut short, changed, or of a newer version
    ├── LeaseHeld                 transient: somebody else holds the lease
    ├── LeaseLost                 the lease expired and was taken over: stop writing
    ├── PrefectUnavailable        transient: the Prefect server did not answer
    ├── NoWorker                  transient: no task worker came within the stated time
    ├── WorkerLost                a task's workers ended before it did, one after the other
    ├── NotAReference             what crosses a task border is no JSON of the declared type
    └── ServiceFailed             a local server did not start or did not stop

`transient` says whether trying the same thing again may help.
"""

from __future__ import annotations

from typing import Any

UNREADABLE = (
    OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError,
)  # fmt: skip
"""What reading a record may raise that is damaged or made on purpose: any JSON, of any depth, in place of what is expected."""


class InfraError(Exception):
    """Base of all errors of stores and servers."""

    transient: bool = False


class SettingsError(InfraError):
    """A setting that cannot work as given."""


class HomeUnusable(InfraError):
    """The home is no folder, cannot be written to, or lies where files cannot be locked."""


class InvalidKey(InfraError):
    """An object key or file name that is not a plain relative name."""


class StoreUnavailable(InfraError):
    """The object store did not answer or broke off."""

    transient = True


class WriteFailed(InfraError):
    """The file at `path` cannot be written, for `reason`; `bytes_requested` is its size (None where unknown).

    What was there before is unchanged.
    """

    def __init__(self, path: str, bytes_requested: int | None, reason: str) -> None:
        size = "" if bytes_requested is None else f" ({bytes_requested} bytes)"
        super().__init__(f"cannot write {path}{size}: {reason}; make it writable and run again")
        self.path = path
        self.bytes_requested = bytes_requested
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.bytes_requested, self.reason)


class StoreFull(WriteFailed):
    """No space is left, or none for this user, where the file at `path` was to be written."""

    def __init__(self, path: str, bytes_requested: int | None, reason: str = "no space left") -> None:
        super().__init__(path, bytes_requested, reason)
        size = "an unknown number of" if bytes_requested is None else str(bytes_requested)
        self.args = (f"no space left: {size} bytes wanted for {path}; free some and run again",)


class StoreUnsuitable(InfraError):
    """The object store ignores conditional creation, on which commits rest."""


class ObjectMissing(InfraError):
    """No object under `key`."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no object {key!r} in the store")
        self.key = key


class ArtifactMissing(InfraError):
    """An artifact without manifest, or whose manifest lists an object that is gone."""


class ArtifactCorrupt(InfraError):
    """Stored bytes that do not match their sha256; discard the artifact and compute it again."""


class CatalogueUnavailable(InfraError):
    """The database is locked, restarting or unreachable."""

    transient = True


class CatalogueError(InfraError):
    """A row that should exist does not, or the schema is of another version."""


class ReviewRefused(CatalogueError):
    """A decision of a reviewer that cannot be written; nothing was."""


class CatalogueDamaged(InfraError):
    """What lies there is no catalogue, or a broken one; the message names the newest backup and what to run."""


class CatalogueIncomplete(InfraError):
    """The object store has records of models or promotions that the catalogue lacks: it is empty, or older than the store."""


class StoreMismatch(InfraError):
    """The catalogue belongs to another object store, or the store to another catalogue."""


class BackupUnusable(InfraError):
    """A backup of the catalogue that is cut short, was changed, or was made by a newer version."""


class LeaseHeld(InfraError):
    """The lease `name` is held by `holder` for `seconds_left` more seconds unless renewed."""

    transient = True

    def __init__(self, name: str, holder: str, seconds_left: float) -> None:
        super().__init__(f"lease {name!r} is held by {holder!r} for another {seconds_left:.0f} s")
        self.name = name
        self.holder = holder
        self.seconds_left = seconds_left


class LeaseLost(InfraError):
    """The lease expired and was taken over: the holder of this token must stop writing."""


class PrefectUnavailable(InfraError):
    """The Prefect server did not answer, or answered that it cannot now."""

    transient = True


class ServiceFailed(InfraError):
    """A local server did not start, or did not stop."""


class NoWorker(InfraError):
    """Tasks waited for a task worker, and none came within the stated time."""

    transient = True


class WorkerLost(InfraError):
    """A task's workers ended before it did, one after the other: it may be what ends them."""


class NotAReference(InfraError):
    """Parameters or an outcome of a task that are no JSON of the declared type; nothing of them is used."""
