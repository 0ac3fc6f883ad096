"""Requests to an MLflow server without MLflow, whose import takes seconds: for what must be quick."""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, build_opener

from pydantic import SecretStr

from infra.address import without_user
from infra.hidden_secrets import hidden
from infra.tracking.spool import EventRefused, TrackingDown

_API = "/api/2.0/mlflow/"
_SECONDS = 20.0
"""Longest wait for one answer."""


class MlflowAnswer(EventRefused):
    """The server refused a request, with a code of MLflow's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class MlflowRest:
    """One server, for a limited time."""

    def __init__(
        self, uri: str, seconds: float = 120.0, credentials: tuple[str, SecretStr] | None = None
    ) -> None:
        """Nothing is asked yet.

        Args:
            uri: address of the server.
            seconds: how long all requests together may take.
            credentials: user and password; None: those of the address, or of MLflow's variables, or none.
        """
        self._base, self._headers = _address_and_credentials(uri, credentials)
        self._deadline = time.monotonic() + seconds
        self._opener = build_opener()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """GET `path` of the API. Raises TrackingDown or MlflowAnswer."""
        return self._ask("GET", f"{path}?{urlencode(query, quote_via=quote)}", None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST `body` (JSON) to `path`. Raises TrackingDown or MlflowAnswer."""
        return self._ask("POST", path, body)

    def delete(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE what `body` names at `path`. Raises TrackingDown or MlflowAnswer."""
        return self._ask("DELETE", path, body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TrackingDown(f"{self._base} takes too long")
        request = Request(
            f"{self._base}{_API}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self._headers},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=min(left, _SECONDS)) as response:
                answer = json.loads(response.read())
        except HTTPError as error:
            raise _refusal(error, self._base) from error
        except (URLError, OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise TrackingDown(f"no answer from {self._base}: {hidden(str(reason))}") from error
        return answer if isinstance(answer, dict) else {}


def _refusal(error: HTTPError, base: str) -> Exception:
    """What a status says: a request that is wrong is refused, anything else may be well later."""
    try:
        said = json.loads(error.read())
        code, message = str(said["error_code"]), str(said["message"])
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        code, message = "", error.reason
    if code and error.code in (400, 404):
        return MlflowAnswer(code, hidden(message))
    return TrackingDown(f"{base} answers {error.code}: {hidden(message)}")


def _address_and_credentials(
    uri: str, credentials: tuple[str, SecretStr] | None
) -> tuple[str, dict[str, str]]:
    """The address without user and password, and the header that holds them."""
    base, user = without_user(uri)
    if credentials is not None:
        user = f"{credentials[0]}:{credentials[1].get_secret_value()}"
    if user is None and (name := os.environ.get("MLFLOW_TRACKING_USERNAME")):
        user = f"{name}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    headers = {}
    if user is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode('ascii')}"
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    return base.partition("?")[0].rstrip("/"), headers
