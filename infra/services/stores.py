"""The servers that a full home keeps its data in: Postgres with a database for each of four, and S3."""

from __future__ import annotations

from infra.errors import CatalogueUnavailable, HomeUnusable
from infra.profile import FullProfile, OwnStores, full_profile, keep_profile, plain_data
from infra.services import start_all
from infra.services.deaths import was_started
from infra.settings import Settings

STORES = ("postgres", "s3")
DATABASES = ("mer", "prefect", "mlflow", "optuna")
"""One each, so that no tool migrates another one's away."""


def make_full(settings: Settings, profile: FullProfile) -> None:
    """Make the home a full one: its stores run, its databases are there, and every command in it finds them from now on.

    A full home stays what it is, but for the number of its workers. Stopped in between, it is begun anew.

    Raises:
        HomeUnusable: the home keeps data in files, which would be out of sight.
        ServiceFailed: a server did not start.
    """
    if full_profile(settings.home) is None and (found := plain_data(settings.home)):
        names = ", ".join(path.relative_to(settings.home).as_posix() for path in found)
        raise HomeUnusable(
            f"home {settings.home}: expected a new home for profile full, found one that keeps its data in files ({names}), "
            "which would be out of sight: nothing was changed. Set MER_HOME to another folder for profile full and ingest and "
            "run there, or leave --profile out to go on with this home"
        )
    _start(settings)
    keep_profile(settings.home, profile)


def start_stores(settings: Settings) -> None:
    """Start the stores of a full home unless they run; nothing in a plain one. Raises ServiceFailed."""
    if full_profile(settings.home) is not None:
        _start(settings)


def require_stores(settings: Settings) -> None:
    """See that a full home's stores were started, for whoever does not start them.

    Raises:
        CatalogueUnavailable: they were stopped.
    """
    if full_profile(settings.home) is None:
        return
    url = settings.database_url.get_secret_value()
    if url == OwnStores(settings.services_folder).database("mer") and not was_started("postgres", settings):
        raise CatalogueUnavailable(
            f"the servers of home {settings.home}, which hold its catalogue (profile full), do not run: `mer up` starts them"
        )


def _start(settings: Settings) -> None:
    start_all(STORES, settings)
    import psycopg
    from psycopg import sql

    url = OwnStores(settings.services_folder).database("postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        known = {str(row[0]) for row in connection.execute("SELECT datname FROM pg_database")}
        for name in DATABASES:
            if name not in known:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
