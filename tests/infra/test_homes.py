"""A home may have any name, and lie anywhere; where it cannot be used, one message says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra import home as home_module
from infra.artifacts import ArtifactStore
from infra.catalogue import open_catalogue
from infra.errors import HomeUnusable, SettingsError
from infra.home import default_home, prepare_home
from infra.objects import open_store
from infra.services import start, stop_all
from infra.settings import Settings, load_settings
from infra.sqlite_url import sqlite_file, sqlite_url
from infra.studies import open_study
from infra.tracking import RunRecord, Tracker

NAMES = [
    "a b",
    "what?",
    "a#b",
    "100%",
    "p%41x",
    "it's",
    "größe 日本",
    "a&b=c",
    "semi;colon",
    "-x",
    "[bold]x[/]",
]


@pytest.fixture(params=NAMES)
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A home of such a name."""
    return load_settings(home=tmp_path / request.param / "home")


def written(settings: Settings) -> set[str]:
    return {path.name for path in settings.home.iterdir()}


def test_the_catalogue_lies_in_the_home(named: Settings) -> None:
    with open_catalogue(named) as catalogue:
        catalogue.upsert_corpus("c", root=named.home, format="table", emotions=["calm"])
    with open_catalogue(named) as catalogue:
        assert [row.name for row in catalogue.corpora()] == ["c"]
    assert "catalogue.db" in written(named)


def test_objects_lie_in_the_home(named: Settings) -> None:
    store = ArtifactStore(open_store(named), cache=named.cache_folder)
    ref = store.commit("kind", "key", {"a.txt": b"content"})
    assert (store.fetch(ref) / "a.txt").read_bytes() == b"content"
    assert {"objects", "cache"} <= written(named)


def test_studies_lie_in_the_home(named: Settings) -> None:
    open_study(named, "s", defaults={"x": 1.0})
    assert len(open_study(named, "s").trials) == 1
    assert "optuna.db" in written(named)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["what?", "p%41x#"])
def test_runs_and_figures_are_tracked_in_the_home(name: str, tmp_path: Path) -> None:
    named = load_settings(home=tmp_path / name / "home")
    tracker = Tracker(named)
    record = RunRecord(name="r", metrics={"waf": 0.5}, seconds=1.0, figures={"figure.png": b"png"})
    tracker.log_stage(parent="p", idempotency_key="k", record=record)
    assert tracker.waiting() == 0
    assert list((named.home / "mlflow" / "artifacts").rglob("figure.png"))


@pytest.mark.slow
def test_servers_keep_their_data_in_a_home_of_a_strange_name(tmp_path: Path) -> None:
    """All strange characters at once; each alone is a case above, and four servers for each would take minutes."""
    settings = load_settings(home=tmp_path / "it's 100% what? a#b größe &=" / "home")
    try:
        addresses = {name: start(name, settings) for name in ("prefect", "mlflow")}
        client = Tracker(settings.model_copy(update={"mlflow_tracking_uri": SecretStr(addresses["mlflow"])}))
        record = RunRecord(name="r", seconds=1.0, figures={"figure.png": b"png"})
        client.log_stage(parent="p", idempotency_key="k", record=record)
        assert client.waiting() == 0
        assert (settings.home / "prefect" / "prefect.db").stat().st_size
        assert (settings.home / "mlflow" / "mlflow.db").stat().st_size
        assert list((settings.home / "mlflow" / "artifacts").rglob("figure.png"))
    finally:
        stop_all(settings)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("driver", ["sqlite", "sqlite+aiosqlite"])
def test_the_file_of_a_url_is_found_again(name: str, driver: str) -> None:
    path = Path("/home", name, "x.db")
    assert sqlite_file(sqlite_url(path, driver)) == path


def test_other_urls_name_no_file() -> None:
    assert [sqlite_file(url) for url in ("postgresql://a/b", "sqlite://", "sqlite:///:memory:")] == [None] * 3


@pytest.mark.parametrize("below", [".", "a", "a/b"])
def test_the_nearest_home_above_is_taken_from_every_folder(
    below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".mer").mkdir()
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / below)
    assert load_settings().home == tmp_path / ".mer"


def test_without_one_it_lies_in_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_module, "LOCAL_NAME", ".none-such")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for folder in (tmp_path, Path("/")):
        monkeypatch.chdir(folder)
        assert load_settings().home == tmp_path / "data" / "mer"
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings().home == tmp_path / ".local" / "share" / "mer"
    assert not any(tmp_path.iterdir()), "looking for it makes nothing"


def test_a_home_that_somebody_else_put_above_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".mer").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert default_home() == tmp_path / "data" / "mer"


@pytest.mark.skipif(os.geteuid() != 0, reason="links of another user are made by root alone")
def test_a_home_that_somebody_else_links_to_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that all may write to, `.mer` may be a link to any folder of ours."""
    (tmp_path / "mine").mkdir()
    (tmp_path / ".mer").symlink_to("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_home() == tmp_path / ".mer"
    os.chown(tmp_path / ".mer", 12_345, 12_345, follow_symlinks=False)
    assert default_home() == tmp_path / "data" / "mer"


def test_an_empty_variable_counts_as_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".mer").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MER_HOME", "")
    monkeypatch.setenv("MER_COMPUTE_THREADS", "")
    assert load_settings().home == tmp_path / ".mer"
    assert load_settings().compute_threads is None


def test_without_any_home_one_message_says_what_to_set(tmp_path: Path) -> None:
    code = (
        "import os, pwd\n"
        "def unknown(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = unknown\n"
        "from infra.settings import load_settings\n"
        "try:\n    load_settings()\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
    )
    environment = {"PYTHONPATH": str(Path.cwd()), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("HomeUnusable expected HOME or MER_HOME"), done.stdout


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for home in (file, file / "below"):
        with pytest.raises(HomeUnusable, match=f"home {home}: expected a folder, but {file} is a file"):
            prepare_home(home)


@pytest.mark.parametrize(("read_only", "said"), [(True, "read-only"), (False, "permissions forbid")])
def test_a_home_that_cannot_be_written_is_named(
    read_only: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests may run as root, whom permissions do not stop: what the system says is replaced, not asked."""

    class Mounted:
        f_flag = os.ST_RDONLY if read_only else 0

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: Mounted)
    with pytest.raises(HomeUnusable, match=said):
        prepare_home(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MER_COMPUTE_THREADS", "many"),
        ("MER_TASK_RUNNER", "spark"),
        ("MER_PREFECT_API_URL", "localhost"),
        ("MER_STORE_TIMEOUT_SECONDS", "0"),
        ("MER_HOME", "~nobody-of-this-name/x"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    message = str(refused.value)
    assert message.startswith(f"settings cannot be used: {variable}: ") and repr(value) in message
    assert "\n" not in message and message.count("MER_") == 1
