"""A client of Prefect's API that has said the password and holds a CSRF token, as clients of Prefect itself do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from infra.services.home_secrets import prefect_auth_string
from infra.settings import Settings


@contextmanager
def prefect_client(address: str, settings: Settings) -> Iterator[httpx.Client]:
    """`settings`: of the home that the server at `address` belongs to."""
    auth = prefect_auth_string(settings, f"{address}/api")
    assert auth is not None
    user, _, password = auth.get_secret_value().partition(":")
    name = uuid.uuid4().hex
    with httpx.Client(base_url=f"{address}/api", auth=(user, password), timeout=60) as api:
        token = api.get("/csrf-token", params={"client": name}).raise_for_status().json()["token"]
        api.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": name})
        yield api
