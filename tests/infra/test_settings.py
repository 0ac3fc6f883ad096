from __future__ import annotations

from pathlib import Path

import pytest

from infra.address import Address
from infra.errors import SettingsError
from infra.settings import load_settings


def test_defaults_lie_below_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "my home"))
    settings = load_settings()
    assert settings.home == tmp_path / "my home"
    assert settings.database_url.get_secret_value() == f"sqlite:///{tmp_path}/my home/catalogue.db"
    assert settings.object_store_url == f"file://{tmp_path}/my%20home/objects"
    assert settings.cache_folder.is_relative_to(settings.home)


def test_home_is_absolute_whatever_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MER_HOME", "mine")
    monkeypatch.chdir(tmp_path)
    assert load_settings().home == tmp_path / "mine"


def test_environment_and_overrides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MER_COMPUTE_THREADS", "3")
    assert load_settings().compute_threads == 3
    assert load_settings(compute_threads=2).compute_threads == 2
    with pytest.raises(SettingsError):
        load_settings(compute_threads=0)
    with pytest.raises(SettingsError):
        load_settings(unknown=1)


def test_prefects_own_address_counts_and_ours_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().prefect_api_url is None
    monkeypatch.setenv("PREFECT_API_URL", "http://theirs/api")
    assert load_settings().prefect_api_url == Address("http://theirs/api")
    monkeypatch.setenv("MER_PREFECT_API_URL", "http://ours/api")
    assert load_settings().prefect_api_url == Address("http://ours/api")


def test_no_secret_in_repr_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = "planted-5e5c4e"
    monkeypatch.setenv("MER_S3_SECRET_KEY", planted)
    monkeypatch.setenv("MER_DATABASE_URL", f"postgresql://mer:{planted}@db/mer")
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", f"http://u:{planted}@mlflow")
    settings = load_settings()
    assert planted in settings.database_url.get_secret_value()
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert planted not in shown
    monkeypatch.setenv("MER_TASK_RUNNER", "spark")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert planted not in str(refused.value) and refused.value.__cause__ is None
