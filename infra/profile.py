"""What a home keeps its data in: files (plain), or Postgres and S3 servers of its own (full: `mer up --profile full`).

The profile is a file of the home, so that every command in it finds the same stores; what `MER_` variables name comes before it.
Addresses and passwords are read where the servers' own records and secrets lie (`infra.services`), and are written nowhere else.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import UNREADABLE, HomeUnusable
from infra.whole_files import write_whole

_FILE = "profile.json"
_PLAIN_DATA = ("catalogue.db", "objects", "optuna.db", "mlflow/mlflow.db", "prefect/prefect.db")
"""What a plain home keeps in files."""


@dataclass(frozen=True)
class FullProfile:
    """What a full home's commands start beside its servers."""

    cpu_workers: int = 1
    gpu_workers: int | None = None
    """None: one for each GPU, and one where there is none."""


def full_profile(home: Path) -> FullProfile | None:
    """The profile of a full home; None for a plain one.

    Raises:
        HomeUnusable: the file is there, and says something else.
    """
    path = home / _FILE
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(read, dict) or read.pop("profile") != "full":
            raise ValueError("expected profile full")
        return FullProfile(**read)
    except FileNotFoundError:
        return None
    except NotADirectoryError:  # the home itself is refused where it is used
        return None
    except (*UNREADABLE, KeyError) as error:
        raise HomeUnusable(
            f"{path}: expected what `mer up --profile full` wrote, found something else ({error}); run that again with this "
            "file removed: the data stay where they are"
        ) from error


def keep_profile(home: Path, profile: FullProfile) -> None:
    """Make the home a full one from now on. Raises WriteFailed or StoreFull."""
    text = json.dumps({"profile": "full", **asdict(profile)})
    write_whole(home / _FILE, text.encode(), mode=0o600)


def plain_data(home: Path) -> list[Path]:
    """What lies in the home that a full one would not look at."""
    return [home / name for name in _PLAIN_DATA if (home / name).exists()]


class OwnStores:
    """Addresses of a full home's own servers, as they were started last."""

    def __init__(self, services: Path) -> None:
        self._services = services

    def database(self, name: str, driver: str = "postgresql") -> str:
        """SQLAlchemy URL of one of its databases. Raises HomeUnusable."""
        _, _, rest = self._address("postgres").partition("://")
        return f"{driver}://{rest.rpartition('/')[0]}/{name}"

    @property
    def objects(self) -> str:
        """URL of its object store. Raises HomeUnusable."""
        return self._address("s3")

    @property
    def tracking(self) -> str | None:
        """Address of its MLflow server; None before its first start."""
        try:
            return self._address("mlflow")
        except HomeUnusable:
            return None

    @property
    def object_secret(self) -> str:
        """Secret key of its object store. Raises HomeUnusable."""
        return self._read(self._services / "s3.secret").strip()

    def _address(self, name: str) -> str:
        try:
            address = json.loads(self._read(self._services / f"{name}.json"))["address"]
        except (ValueError, LookupError, TypeError):
            address = None
        if not isinstance(address, str) or not address:
            raise HomeUnusable(
                f"home {self._services.parent}: expected the address of its server {name} in {self._services / name}.json, found "
                "none: `mer up --profile full` starts it and writes it"
            )
        return address

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8")
        except UNREADABLE as error:
            raise HomeUnusable(
                f"home {self._services.parent}: {path} cannot be read ({error}): `mer up --profile full` makes it anew"
            ) from error


def own_stores(home: Path) -> OwnStores | None:
    """The stores of a full home; None for a plain one. Raises HomeUnusable."""
    return None if full_profile(home) is None else OwnStores(home / "services")
