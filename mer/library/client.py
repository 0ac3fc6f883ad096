"""A client of the service (`mer serve`): files and features in, `Prediction`s out. Imports neither torch nor arrays.

with mer.Client("http://127.0.0.1:8765") as client:
    print(client.predict("clip.mp4").discrete)
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mer.conformal.policy import AnswerPolicy
from mer.errors import ConfigError, MerError
from mer.predictions import Prediction

_PATIENCE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 10.0
_PASSING = {429, 503}
_PREDICTIONS = TypeAdapter(list[Prediction])


class ServiceRefused(MerError):
    """The service answered that it will not do that; `status` is that of HTTP, `code` what happened, for programs."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.transient = status in _PASSING


class ServiceAway(MerError):
    """Nothing answers at the address."""

    transient = True


class Served(BaseModel):
    """What answers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    version: int
    emotions: tuple[str, ...]
    streams: tuple[str, ...]


class Client:
    """Asks a service; close it, or use it as a context. Safe among threads.

    Args:
        address: `http://HOST:PORT`, as `mer serve` prints it.
        token: where the service asks for one.
        patience_seconds: how long a request is tried again while the service is busy (429) or not ready (503); 0: once.
        timeout_seconds: longest time of one try.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
        timeout_seconds: float = 120.0,
    ) -> None:
        if not address.startswith(("http://", "https://")):
            raise ConfigError(f"address: expected http://HOST:PORT, found {address!r}")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        local = httpx.URL(address).host in ("localhost", "127.0.0.1", "::1")
        self._http = httpx.Client(
            base_url=address, headers=headers, timeout=timeout_seconds, trust_env=not local
        )
        self._patience = patience_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def served(self) -> Served:
        """The model that answers now.

        Raises:
            ServiceRefused: none does yet, or the token is wrong.
            ServiceAway: nothing answers at the address.
        """
        return Served.model_validate(self._asked("GET", "/ready"))

    def predict(
        self, file: str | Path, transcript: str | None = None, policy: AnswerPolicy | None = None
    ) -> Prediction:
        """The prediction for a media file; one that cannot be read has a `status` that says why, and no answer.

        Args:
            file: path of the file.
            transcript: what is spoken in it; None: what the service knows of it, else its recogniser listens.
            policy: when the clip is answered at all, and with which set of classes; None: as the model's recipe says.

        Raises:
            ConfigError: no such file.
            ServiceRefused, ServiceAway: see `served`; also a file that is too large.
        """
        data = {} if transcript is None else {"transcript": transcript}
        with ExitStack() as stack:
            part = {"file": _part(stack, Path(file))}
            return Prediction.model_validate(
                self._asked("POST", "/api/predict", files=part, data=data, params=_query(policy))
            )

    def predict_batch(
        self, files: Sequence[str | Path], policy: AnswerPolicy | None = None
    ) -> list[Prediction]:
        """Predictions in the order of the files; a bad file costs only its own answer. Errors as for `predict`."""
        with ExitStack() as stack:
            parts = [("files", _part(stack, Path(file))) for file in files]
            return self._predictions("/api/predict/batch", files=parts, params=_query(policy))

    def predict_many(self, files: Sequence[str | Path], batch: int = 8) -> Iterator[Prediction]:
        """The same for any number of files, `batch` of them in a request."""
        for begin in range(0, len(files), batch):
            yield from self.predict_batch(files[begin : begin + batch])

    def predict_features(self, features: Mapping[str, Any], names: Sequence[str] = ()) -> list[Prediction]:
        """Predictions for features instead of media.

        Args:
            features: stream -> array (N, D), or list of N vectors or arrays (T_i, D), None where a clip lacks the stream.
            names: what the answers call the clips; left out: their numbers.
        """
        columns = {stream: [_plain(row) for row in values] for stream, values in features.items()}
        count = len(next(iter(columns.values()), ()))
        if {len(rows) for rows in columns.values()} != {count} or (names and len(names) != count):
            raise ConfigError("features: expected streams (and names) of the same clips, found others")
        clips = [
            {
                "name": names[row] if names else str(row),
                "features": {stream: rows[row] for stream, rows in columns.items() if rows[row] is not None},
            }
            for row in range(count)
        ]
        return self._predictions("/api/predict/features", json={"clips": clips})

    def _predictions(self, path: str, **request: Any) -> list[Prediction]:
        return _PREDICTIONS.validate_python(self._asked("POST", path, **request)["predictions"])

    def _asked(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of an answer; a service that is busy is asked again, as it says."""
        until = time.monotonic() + self._patience
        while True:
            _rewind(request.get("files"))
            try:
                response = self._http.request(method, path, **request)
            except httpx.HTTPError as error:
                raise ServiceAway(
                    f"expected a service at {self._http.base_url}, found none that answers ({type(error).__name__}): "
                    "`mer serve` starts one"
                ) from error
            if response.is_success:
                return response.json()
            pause = min(_number(response.headers.get("retry-after")), _LONGEST_PAUSE_SECONDS)
            if response.status_code not in _PASSING or time.monotonic() + pause > until:
                raise _refused(response)
            time.sleep(pause)


def _query(policy: AnswerPolicy | None) -> dict[str, Any]:
    return {} if policy is None else policy.model_dump(exclude_none=True)


def _part(stack: ExitStack, path: Path) -> tuple[str, Any]:
    try:
        return path.name, stack.enter_context(path.open("rb"))
    except OSError as error:
        raise ConfigError(f"file: expected a media file, found none that can be read at {path}") from error


def _rewind(files: Any) -> None:
    parts = files.values() if isinstance(files, Mapping) else [part for _, part in files or ()]
    for _, file in parts:
        file.seek(0)


def _plain(row: Any) -> Any:
    values = row.tolist() if hasattr(row, "tolist") else row
    if values is None or (isinstance(values, list) and values and all(value != value for value in values)):
        return None  # NaN throughout: the clip lacks the stream
    return values


def _number(text: str | None) -> float:
    try:
        return max(0.1, float(text or 1))
    except ValueError:
        return 1.0


def _refused(response: httpx.Response) -> ServiceRefused:
    try:
        problem = response.json()
        return ServiceRefused(response.status_code, str(problem["code"]), str(problem["detail"]))
    except (ValueError, KeyError, TypeError, ValidationError):
        return ServiceRefused(
            response.status_code, "refused", f"HTTP {response.status_code}: {response.text[:300]}"
        )
