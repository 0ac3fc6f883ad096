"""Where things are: the one place that reads the environment.

Every field is set by an environment variable `MER_<NAME>`, e.g. `MER_HOME`, `MER_DATABASE_URL`; an empty one counts as not
set. The defaults need no server: everything lies below `home` (`infra.home` says which folder that is). Credentials are
`SecretStr` and addresses that may hold a password `Address`, so that no log or repr shows them; addresses of object stores may
hold none. What the settings hold is taken out of logs and messages of clients as well (`infra.hidden_secrets`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.address import Address, secrets_of
from infra.errors import SettingsError
from infra.hidden_secrets import hide
from infra.home import default_home
from infra.profile import own_stores
from infra.shown_address import shown_address
from infra.sqlite_url import sqlite_url

PREFIX = "MER_"
OWN_ACCESS_KEY = "mer"
"""Access key of a home's own object store."""
_NOT_ASKED = "default_factory_not_called"
"""Type of pydantic's complaint about defaults below a home that was refused."""


def _database(name: str, file: str) -> Any:
    """Default address of a database: `name` of a full home's Postgres, or SQLite's `file` below a plain home."""

    def default(data: dict[str, Any]) -> Address:
        stores = own_stores(data["home"])
        return Address(stores.database(name) if stores else sqlite_url(data["home"] / file))

    return default


def _object_store(data: dict[str, Any]) -> str:
    stores = own_stores(data["home"])
    return stores.objects if stores else (data["home"] / "objects").as_uri()


def _object_key(name: str) -> Any:
    def default(data: dict[str, Any]) -> SecretStr | None:
        stores = own_stores(data["home"])
        if stores is None or data.get("object_store_url") != stores.objects:
            return None
        return SecretStr(OWN_ACCESS_KEY if name == "access" else stores.object_secret)

    return default


def _tracking(data: dict[str, Any]) -> Address:
    stores = own_stores(data["home"])
    own = stores.tracking if stores else None
    return Address(own or sqlite_url(data["home"] / "mlflow/mlflow.db"))


class Settings(BaseSettings):
    """Addresses, credentials and limits of this installation."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    home: Path = Field(
        default_factory=default_home,
        validate_default=True,
        description="Folder of everything this installation writes. Default: the nearest .mer of the current folder or above, "
        "else mer in the user's data folder.",
    )
    database_url: Address = Field(
        default_factory=_database("mer", "catalogue.db"),
        description="SQLAlchemy URL of the catalogue: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DB.",
    )
    object_store_url: str = Field(
        default_factory=_object_store,
        description="file:///FOLDER or s3://BUCKET[/PREFIX]?endpoint=http://HOST:PORT[&region=NAME].",
    )
    s3_access_key: SecretStr | None = Field(
        default_factory=_object_key("access"), description="Access key of the S3 object store."
    )
    s3_secret_key: SecretStr | None = Field(
        default_factory=_object_key("secret"), description="Secret key of the S3 object store."
    )
    s3_endpoint: str | None = Field(
        default=None,
        description="Address of the S3 server of corpora in buckets that name none (http://HOST:PORT); none: that of the object "
        "store, if it is in S3, else AWS.",
    )
    mlflow_tracking_uri: Address = Field(
        default_factory=_tracking,
        description="MLflow tracking server (http://HOST:PORT) or database (sqlite:///PATH).",
    )
    prefect_api_url: Address | None = Field(
        default=None,
        validation_alias=AliasChoices("MER_PREFECT_API_URL", "PREFECT_API_URL"),
        description="API of a Prefect server (http://HOST:PORT/api), also from Prefect's own PREFECT_API_URL; "
        "none: a local one is started.",
    )
    prefect_auth_string: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("MER_PREFECT_AUTH_STRING", "PREFECT_API_AUTH_STRING"),
        description="USER:PASSWORD for that Prefect server, also from Prefect's own PREFECT_API_AUTH_STRING; not for the local "
        "one, whose password the home holds.",
    )
    mlflow_username: str | None = Field(
        default=None,
        validation_alias=AliasChoices("MER_MLFLOW_USERNAME", "MLFLOW_TRACKING_USERNAME"),
        description="User for that MLflow server, also from MLflow's own MLFLOW_TRACKING_USERNAME; none: mer.",
    )
    mlflow_password: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("MER_MLFLOW_PASSWORD", "MLFLOW_TRACKING_PASSWORD"),
        description="Password for that MLflow server, also from MLflow's own MLFLOW_TRACKING_PASSWORD.",
    )
    prefect_timeout_seconds: float = Field(
        default=90.0,
        gt=0,
        le=3600,
        description="Longest time in seconds that a run goes on while the Prefect server does not answer; a local one is started "
        "again meanwhile.",
    )
    optuna_storage_url: Address = Field(
        default_factory=_database("optuna", "optuna.db"), description="SQLAlchemy URL of Optuna's storage."
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
        default_factory=lambda data: "workers" if own_stores(data["home"]) else "threads",
        description="Where a flow's tasks run; default: threads, in a home of profile full its workers. Others are started by "
        "`mer worker`; dask and ray need the extras of these names.",
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
    worker_timeout_seconds: float = Field(
        default=1800.0,
        gt=0,
        le=7 * 86400,
        description="Longest time in seconds that tasks wait where no `mer worker` runs (MER_TASK_RUNNER=workers).",
    )
    run_timeout_hours: float = Field(
        default=24.0,
        gt=0,
        le=24 * 365,
        description="Longest time in hours of a flow run that a worker started; it is ended then. Deployments set their own.",
    )
    run_retries: int = Field(
        default=2,
        ge=0,
        le=20,
        description="How often a flow run that a worker started is tried again after an error that may pass.",
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
    retention_days: float = Field(
        default=30.0,
        ge=0,
        le=36_500,
        description="Days that what no run uses any more is kept (artifacts, rows, logs, old runs); it must be longer than the "
        "longest run. 0: nothing is ever removed.",
    )
    retention_versions: int = Field(
        default=5,
        ge=2,
        le=10_000,
        description="Champions of a model, the present one first, whose artifacts stay whatever their age: how far a rollback "
        "reaches.",
    )
    retention_grace_hours: float = Field(
        default=24.0,
        gt=0,
        le=8760,
        description="Hours in which nothing that was written is removed, whoever refers to it.",
    )
    retention_log_megabytes: float = Field(
        default=16.0,
        gt=0,
        le=100_000,
        description="Length in MB at which logs of local servers are cut (to half of it), and of the events of a machine's "
        "processes together.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="What processes write to standard error: text for people, or events as JSON lines for a collector of logs.",
    )
    metrics_password: SecretStr | None = Field(
        default=None,
        description="Password of the metrics page (user mer) where `python -m infra.metrics` serves it; none: the home's own.",
    )

    serve_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Token that `mer serve` asks for, at least 16 characters; none: the home's own where others than this "
        "machine are let in, no token on this machine.",
    )

    @field_validator("home", "data_folder")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        try:
            return folder.expanduser().resolve()  # servers and workers have other working directories
        except (OSError, RuntimeError) as error:  # a loop of links; ~ of a user that there is not
            raise ValueError(str(error)) from error

    @field_validator("prefect_api_url")
    @classmethod
    def _http(cls, url: Address | None) -> Address | None:
        if url is not None:
            text = url.get_secret_value()
            if not text.startswith(("http://", "https://")) or "?" in text or "#" in text:
                raise ValueError("expected http://[USER:PASSWORD@]HOST:PORT/api")
        return url

    @field_validator("object_store_url", "s3_endpoint", "task_cluster")
    @classmethod
    def _without_secrets(cls, url: str | None) -> str | None:
        if url is not None and shown_address(url) != url:
            raise ValueError(
                "expected an address without user, password or key (MER_S3_ACCESS_KEY and MER_S3_SECRET_KEY hold keys)"
            )
        return url

    @field_validator("face_detector")
    @classmethod
    def _set_or_not(cls, detector: str | None) -> str | None:
        return (detector or "").strip() or None

    @model_validator(mode="after")
    def _hidden_everywhere(self) -> Settings:
        values = [getattr(self, name) for name in type(self).model_fields]
        for value in values:
            if isinstance(value, SecretStr):
                text = value.get_secret_value()
                hide(secrets_of(text) if isinstance(value, Address) else [text, text.partition(":")[2]])
        return self

    @property
    def cache_folder(self) -> Path:
        """Local verified copies of artifacts, one folder each, named by manifest sha256."""
        return self.home / "cache"

    @property
    def checkpoint_folder(self) -> Path:
        """Epoch checkpoints of running stages, named by stage key."""
        return self.home / "checkpoints"

    @property
    def backup_folder(self) -> Path:
        """Backups of the catalogue."""
        return self.home / "backups"

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

    @property
    def reports_folder(self) -> Path:
        """Reports of model versions."""
        return self.home / "reports"

    @property
    def logs_folder(self) -> Path:
        """Tracebacks of errors that no message explains."""
        return self.home / "logs"


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; keyword arguments take precedence (command line options, tests).

    Raises:
        SettingsError: values that cannot be used, by the names of their variables; secrets are not shown.
        HomeUnusable: no home is named, and none can be found.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        found = [item for item in error.errors(include_url=False) if item["type"] != _NOT_ASKED]
        problems = "; ".join(map(_problem, found))
        raise SettingsError(f"settings cannot be used: {problems}") from None  # its text shows values


def _problem(item: Any) -> str:
    name = str(item["loc"][0]) if item["loc"] else ""
    field = Settings.model_fields.get(name)
    variable = name if name.startswith((PREFIX, "PREFECT_")) else f"{PREFIX}{name.upper()}"
    secret = field is not None and "SecretStr" in str(field.annotation)
    value = item["input"]
    text = value.get_secret_value() if isinstance(value, Address) else str(value)
    found = "" if secret else f", found {shown_address(text)[:80]!r}"
    return f"{variable}: {item['msg'].removeprefix('Value error, ')}{found}"
