"""Where things are: the one place that reads the environment.

Every field is set by an environment variable `MER_<NAME>`, e.g. `MER_HOME`, `MER_DATABASE_URL`. The defaults
need no server: everything lies below `home`. Credentials are `SecretStr`, so that no log or repr shows them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _sqlite_below_home(name: str) -> Any:
    def default(data: dict[str, Any]) -> SecretStr:
        return SecretStr(f"sqlite:///{data['home'] / name}")

    return default


class Settings(BaseSettings):
    """Addresses, credentials and limits of this installation."""

    model_config = SettingsConfigDict(env_prefix="MER_", extra="forbid", frozen=True, populate_by_name=True)

    home: Path = Field(
        default=Path(".mer"),
        validate_default=True,
        description="Folder of everything this installation writes.",
    )
    database_url: SecretStr = Field(
        default_factory=_sqlite_below_home("catalogue.db"),
        description="SQLAlchemy URL of the catalogue: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DB.",
    )
    object_store_url: str = Field(
        default_factory=lambda data: (data["home"] / "objects").as_uri(),
        description="file:///FOLDER or s3://BUCKET[/PREFIX]?endpoint=http://HOST:PORT[&region=NAME].",
    )
    s3_access_key: SecretStr | None = Field(default=None, description="Access key of the S3 object store.")
    s3_secret_key: SecretStr | None = Field(default=None, description="Secret key of the S3 object store.")
    mlflow_tracking_uri: SecretStr = Field(
        default_factory=_sqlite_below_home("mlflow/mlflow.db"),
        description="MLflow tracking server (http://HOST:PORT) or database (sqlite:///PATH).",
    )
    prefect_api_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("MER_PREFECT_API_URL", "PREFECT_API_URL"),
        description="API of a Prefect server (http://HOST:PORT/api), also from Prefect's own PREFECT_API_URL; "
        "none: a local one is started.",
    )
    optuna_storage_url: SecretStr = Field(
        default_factory=_sqlite_below_home("optuna.db"), description="SQLAlchemy URL of Optuna's storage."
    )
    data_folder: Path = Field(
        default_factory=lambda data: data["home"] / "data",
        description="Folder for generated corpora (the demo corpus lies in `demo` below it).",
    )
    face_detector: str | None = Field(
        default=None,
        description="What `detector: auto` of a recipe stands for: path of YuNet's ONNX file, or haar; none: YuNet where its "
        "file lies in the folder of weights (`<home>/weights/face_detection_yunet*.onnx`), else haar.",
    )
    compute_threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Threads of one compute task; none: 1, which gives the same bytes everywhere.",
    )
    task_runner: Literal["threads", "processes", "workers", "dask", "ray"] = Field(
        default="threads",
        description="Where a flow's tasks run; workers are started by `mer worker`; dask and ray need the extras of these names.",
    )
    task_workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=1024,
        description="Processes that compute side by side (not for threads, which take turns).",
    )
    task_cluster: str | None = Field(
        default=None, description="Address of a Dask scheduler or Ray head; none: a local cluster is started."
    )
    store_timeout_seconds: float = Field(
        default=45.0,
        gt=0,
        le=600,
        description="Longest time in seconds to wait out an unreachable object store.",
    )
    catalogue_timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="Longest time in seconds to wait for a locked catalogue."
    )

    @field_validator("home", "data_folder")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return folder.expanduser().resolve()  # servers and workers have other working directories

    @field_validator("face_detector")
    @classmethod
    def _set_or_not(cls, detector: str | None) -> str | None:
        return (detector or "").strip() or None

    @property
    def cache_folder(self) -> Path:
        """Local verified copies of artifacts, one folder each, named by manifest sha256."""
        return self.home / "cache"

    @property
    def checkpoint_folder(self) -> Path:
        """Epoch checkpoints of running stages, named by stage key."""
        return self.home / "checkpoints"

    @property
    def weights_folder(self) -> Path:
        """Encoder weights converted once."""
        return self.home / "weights"

    @property
    def spool_folder(self) -> Path:
        """What could not be sent to MLflow yet."""
        return self.home / "spool"

    @property
    def services_folder(self) -> Path:
        """State, logs and data of local servers."""
        return self.home / "services"


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; keyword arguments take precedence (command line options, tests)."""
    return Settings(**overrides)
