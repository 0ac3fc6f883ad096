"""A home of profile full: where its settings say that its data are, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.errors import CatalogueUnavailable, HomeUnusable
from infra.profile import FullProfile, full_profile, keep_profile, plain_data
from infra.services.stores import make_full, require_stores
from infra.settings import load_settings


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A home as `mer up --profile full` leaves it, without its servers."""
    services = tmp_path / "home" / "services"
    services.mkdir(parents=True)
    for name, address in (
        ("postgres", "postgresql://postgres:pw1@127.0.0.1:21000/postgres"),
        ("s3", "s3://mer?endpoint=http://127.0.0.1:21001"),
    ):
        (services / f"{name}.json").write_text(json.dumps({"address": address}))
    (services / "s3.secret").write_text("key2")
    keep_profile(services.parent, FullProfile(cpu_workers=2))
    return services.parent


def test_its_data_are_in_its_own_servers(full: Path) -> None:
    settings = load_settings(home=full)
    assert full_profile(full) == FullProfile(cpu_workers=2, gpu_workers=None)
    assert settings.database_url.get_secret_value() == "postgresql://postgres:pw1@127.0.0.1:21000/mer"
    assert (
        settings.optuna_storage_url.get_secret_value() == "postgresql://postgres:pw1@127.0.0.1:21000/optuna"
    )
    assert settings.object_store_url == "s3://mer?endpoint=http://127.0.0.1:21001"
    assert settings.s3_access_key is not None
    assert settings.s3_secret_key is not None
    assert (settings.s3_access_key.get_secret_value(), settings.s3_secret_key.get_secret_value()) == (
        "mer",
        "key2",
    )
    assert settings.task_runner == "workers"
    assert "pw1" not in repr(settings)
    assert "key2" not in repr(settings)


def test_its_mlflow_server_is_known_once_it_was_started(full: Path) -> None:
    assert load_settings(home=full).mlflow_tracking_uri.get_secret_value().startswith("sqlite:")
    (full / "services" / "mlflow.json").write_text(json.dumps({"address": "http://127.0.0.1:21002"}))
    assert load_settings(home=full).mlflow_tracking_uri.get_secret_value() == "http://127.0.0.1:21002"


def test_what_is_named_comes_first(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_OBJECT_STORE_URL", "s3://other?endpoint=http://127.0.0.1:1")
    monkeypatch.setenv("MER_TASK_RUNNER", "threads")
    settings = load_settings(home=full)
    assert settings.object_store_url.startswith("s3://other")
    assert settings.s3_secret_key is None, "the home's key is for the home's store only"
    assert settings.task_runner == "threads"


def test_a_plain_home_is_as_it_was(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    assert full_profile(tmp_path) is None
    assert settings.database_url.get_secret_value() == f"sqlite:///{tmp_path}/catalogue.db"
    assert settings.object_store_url == (tmp_path / "objects").as_uri()
    assert settings.s3_access_key is None
    assert settings.task_runner == "threads"


def test_a_home_with_data_in_files_is_not_switched(tmp_path: Path) -> None:
    (tmp_path / "catalogue.db").write_bytes(b"x")
    (tmp_path / "objects").mkdir()
    with pytest.raises(HomeUnusable, match=r"\(catalogue\.db, objects\).*nothing was changed.*Set MER_HOME"):
        make_full(load_settings(home=tmp_path), FullProfile())
    assert full_profile(tmp_path) is None
    assert plain_data(tmp_path) == [tmp_path / "catalogue.db", tmp_path / "objects"]
    assert not (tmp_path / "services").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"profile": "half"}', '{"profile": "full", "gpus": 2}', "{"])
def test_a_damaged_profile_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "profile.json").write_text(text)
    with pytest.raises(HomeUnusable, match=r"profile\.json: expected what `mer up --profile full` wrote"):
        load_settings(home=tmp_path)


def test_stopped_stores_are_said_at_once(full: Path) -> None:
    with pytest.raises(CatalogueUnavailable, match=r"\(profile full\), do not run: `mer up` starts them"):
        require_stores(load_settings(home=full))
    require_stores(load_settings(home=full, database_url="sqlite:///elsewhere.db"))


def test_lost_addresses_are_said(full: Path) -> None:
    (full / "services" / "s3.json").unlink()
    with pytest.raises(HomeUnusable, match=r"services/s3\.json.*`mer up --profile full`"):
        load_settings(home=full)
