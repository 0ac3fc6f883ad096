"""Who may read what is written below a home, and what the user asked for outside of it."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra import modes
from infra.catalogue import open_catalogue
from infra.errors import HomeUnusable, ServiceFailed
from infra.home import prepare_home
from infra.services import postgres as postgres_module
from infra.services import start, stop_all
from infra.services.process import ServiceProcess, inherited_environment
from infra.settings import Settings, load_settings


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def readable(home: Path) -> list[str]:
    """What somebody else could read, or pass through."""
    return sorted(
        f"{path.relative_to(home.parent)} {mode(path):o}"
        for path in (home, *home.rglob("*"))
        if not path.is_symlink() and mode(path) & 0o077
    )


@pytest.fixture(autouse=True)
def _usual_umask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = os.umask(0o022)
    monkeypatch.setattr(modes, "_started_with", None)
    yield
    os.umask(before)


def test_a_home_is_made_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "above" / "home"
    prepare_home(home)
    assert (mode(home), mode(home.parent)) == (0o700, 0o755)
    home.chmod(0o750)
    prepare_home(home)
    assert mode(home) == 0o750, "opened to a group on purpose"


@pytest.mark.parametrize("made", [0o755, 0o750, 0o2770, 0o700])
def test_a_folder_that_the_user_made_is_left_as_it_is(tmp_path: Path, made: int) -> None:
    tmp_path.chmod(made)
    prepare_home(tmp_path)
    assert mode(tmp_path) == made


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(HomeUnusable, match="is a file"):
        prepare_home(tmp_path / "home")


def old_home(home: Path) -> None:
    """As versions before 0.5 left one."""
    for name in (
        "objects/blobs/ab/cd",
        "services/s3.json",
        "spool/1.json",
        "logs/a.log",
        "prefect/prefect.db",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("x")
    (home / "catalogue.db").write_text("x")
    (home / "objects/blobs/ab/cd").chmod(0o444)


def test_an_old_home_is_closed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = tmp_path / "home"
    old_home(home)
    assert len(readable(home)) == 14, readable(home)
    with caplog.at_level(logging.WARNING):
        prepare_home(home)
    assert readable(home) == []
    assert mode(home / "objects/blobs/ab/cd") == 0o400, "nothing is made writable"
    assert caplog.text.count("could be read by others") == 1
    (home / "logs").chmod(0o755)
    prepare_home(home)
    assert mode(home / "logs") == 0o755, "opened since, on purpose"


def test_a_home_of_a_group_stays_the_groups(tmp_path: Path) -> None:
    home = tmp_path / "home"
    old_home(home)
    home.chmod(0o750)
    prepare_home(home)
    assert mode(home) == 0o750
    assert mode(home / "catalogue.db") == 0o640 and mode(home / "objects") == 0o750


def test_what_is_not_ours_in_a_home_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    old_home(home)
    theirs = home / "public" / "index.html"
    theirs.parent.mkdir()
    theirs.touch()
    (home / "objects" / "link").symlink_to(theirs)
    prepare_home(home)
    assert (mode(home), mode(theirs)) == (0o755, 0o644)
    assert mode(home / "catalogue.db") == 0o600 and mode(home / "objects") == 0o700


@pytest.mark.parametrize(
    ("home_mode", "umask"), [(0o700, 0o077), (0o755, 0o077), (0o750, 0o027), (0o770, 0o007), (0o711, 0o077)]
)
def test_a_private_process_writes_with_the_modes_of_its_home(
    tmp_path: Path, home_mode: int, umask: int
) -> None:
    tmp_path.chmod(home_mode)
    modes.be_private()
    prepare_home(tmp_path)
    (tmp_path / "a").touch()
    assert mode(tmp_path / "a") == 0o666 & ~umask
    with modes.as_the_user_writes():
        (tmp_path / "b").touch()
    (tmp_path / "c").touch()
    assert (mode(tmp_path / "b"), mode(tmp_path / "c")) == (0o644, 0o666 & ~umask)


def test_a_library_does_not_change_the_modes_of_the_program_that_uses_it(tmp_path: Path) -> None:
    prepare_home(tmp_path / "home")
    (tmp_path / "theirs").touch()
    assert mode(tmp_path / "theirs") == 0o644
    with modes.as_the_user_writes():
        (tmp_path / "answers").touch()
    assert mode(tmp_path / "answers") == 0o644


def test_a_command_writes_for_its_owner_only(tmp_path: Path) -> None:
    """A whole command with the usual umask, over a home that the user made readable."""
    home = tmp_path / "home"
    home.mkdir(0o755)
    code = (
        "import sys; sys.argv = ['mer', 'status'];"
        "from tasks.stage import workspace as w; from flows.cli.commands import main;"
        "import flows.status; flows.status.show_status = lambda: w.workspace();"
        "main()"
    )
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "MER_HOME": str(home)}, check=True, umask=0o022
    )
    assert (home / "catalogue.db").exists() and mode(home) == 0o755
    assert readable(home) == ["home 755"]


def test_state_and_log_of_a_server_are_private_from_their_first_byte(
    settings: Settings, tmp_path: Path
) -> None:
    """Also where a starter that was killed left a file that others can read and have open."""
    folder = settings.services_folder
    folder.mkdir(parents=True)
    (folder / "sleeper.partial").touch()
    (folder / "sleeper.partial").chmod(0o644)
    with (folder / "sleeper.partial").open() as spy:
        process = ServiceProcess("sleeper", folder)
        code = "import pathlib; pathlib.Path('made').touch(); print(1)"
        process.launch(
            [sys.executable, "-c", code], inherited_environment(), tmp_path / "cwd", address="x:secret"
        )
        while process.members():
            time.sleep(0.05)
        assert spy.read() == ""
    assert json.loads((folder / "sleeper.json").read_text())["address"] == "x:secret"
    assert [mode(folder / name) for name in ("sleeper.json", "sleeper.log")] == [0o600, 0o600]
    assert mode(tmp_path / "cwd" / "made") == 0o600


def test_programs_below_a_closed_folder_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is opened, and nothing is run that somebody else could have put there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    programs = tmp_path / "root" / "env" / "pg"
    (programs / "bin").mkdir(parents=True)
    (programs / "bin" / "postgres").write_text("program")
    (programs / "bin" / "postgres").chmod(0o700)
    (tmp_path / "root").chmod(0o700)
    copy = postgres_module._readable_programs(programs)
    assert copy.parent == tmp_path / "tmp"
    assert (copy / "bin" / "postgres").read_text() == "program"
    assert [mode(path) for path in (copy, copy / "bin", copy / "bin" / "postgres")] == [0o755] * 3
    assert mode(tmp_path / "root") == 0o700
    assert postgres_module._readable_programs(programs) == copy
    copy.chmod(0o777)
    with pytest.raises(ServiceFailed, match="only we can write"):
        postgres_module._readable_programs(programs)


@pytest.mark.slow
def test_postgres_runs_in_a_closed_home(tmp_path: Path) -> None:
    """No folder above is opened, nothing below is readable, and no password lies in another file than the secret one."""
    modes.be_private()
    above = tmp_path / "above"
    above.mkdir(0o700)
    before = [mode(folder) for folder in above.parents]
    settings = load_settings(home=above / "home")
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for path in settings.services_folder.glob("*"):
                try:
                    if path.is_file() and (mode(path) & 0o077 or path.suffix == ".password"):
                        seen.add(path.name)
                except OSError:
                    continue
            time.sleep(0.002)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        address = start("postgres", settings)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("CREATE DATABASE own")
            assert connection.execute("SELECT pg_reload_conf()").fetchone() == (True,)
        assert readable(settings.home) == []
        stop_all(settings)
        assert start("postgres", settings) == address, "again, with the data that are there"
        with psycopg.connect(f"{address.rpartition('/')[0]}/own"):
            pass
    finally:
        stop_all(settings)
        done.set()
        watching.join()
    assert seen == set()
    assert [mode(folder) for folder in above.parents] == before and mode(above) == 0o700


def test_databases_of_a_private_process_are_its_own(tmp_path: Path) -> None:
    modes.be_private()
    settings = load_settings(home=tmp_path / "home")
    prepare_home(settings.home)
    with open_catalogue(settings):
        pass
    with sqlite3.connect(settings.home / "optuna.db") as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    assert readable(settings.home) == []
