"""The guard alone: what it lets through, by one header at a time. Real servers behind it: `test_guarded_servers.py`."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from infra.services.guard import Guard

HOSTS = ("127.0.0.1:4200", "localhost:4200")
TOKEN = base64.b64encode(b"mer:secret").decode()


def asked(guard: Guard, kind: str = "http", method: str = "GET", path: str = "/api", **headers: str) -> str:
    """How one request is answered: status, or how a websocket is."""
    sent: list[dict[str, Any]] = []
    items = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "method": method, "path": path, "headers": items}
    if kind == "websocket":
        del scope["method"]

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))  # type: ignore[arg-type]
    return str(sent[0].get("status", sent[0]["type"]))


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Frame-Options", b"ALL")]})


OPEN = Guard(application, HOSTS)
LOCKED = Guard(application, HOSTS, credentials=("mer", "secret"), public=("/health",))


@pytest.mark.parametrize("host", ["127.0.0.1:4200", "localhost:4200", "LocalHost:4200"])
def test_known_hosts_are_let_through(host: str) -> None:
    assert asked(OPEN, host=host) == "200"
    assert asked(OPEN, "websocket", host=host) == "websocket.accept"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4200", "127.0.0.1", "localhost", "", "127.0.0.1:4200.evil.example"]
)
def test_other_hosts_are_refused(host: str) -> None:
    assert asked(OPEN, host=host) == "403"
    assert asked(OPEN, "websocket", host=host) == "websocket.close"
    assert asked(LOCKED, path="/health", host=host) == "403", "nothing is public for them"


def test_a_request_without_host_is_refused() -> None:
    assert asked(OPEN) == "403"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1:4201", "http://localhost", "file://"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_other_origins_are_refused(origin: str, method: str) -> None:
    authorization = f"Basic {TOKEN}"
    assert asked(LOCKED, method=method, host=HOSTS[0], origin=origin, authorization=authorization) == "403"
    assert asked(OPEN, "websocket", host=HOSTS[0], origin=origin) == "websocket.close"


@pytest.mark.parametrize("origin", [f"http://{host}" for host in HOSTS])
def test_pages_of_the_server_itself_are_let_through(origin: str) -> None:
    assert asked(OPEN, method="POST", host=HOSTS[0], origin=origin) == "200"
    assert asked(OPEN, "websocket", host=HOSTS[0], origin=origin) == "websocket.accept"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "made up"])
def test_without_an_origin_another_page_may_only_open_the_server(site: str) -> None:
    """Browsers send no origin with pictures and scripts, but with them a password they know."""
    page = {"host": HOSTS[0], "sec_fetch_site": site}
    assert asked(OPEN, **page, sec_fetch_mode="no-cors", sec_fetch_dest="image") == "403"
    assert asked(OPEN, **page) == "403"
    assert asked(OPEN, **page, sec_fetch_mode="navigate", sec_fetch_dest="iframe") == "403"
    assert asked(OPEN, **page, sec_fetch_mode="navigate", sec_fetch_dest="document") == "200"
    assert asked(OPEN, method="POST", **page, sec_fetch_mode="navigate", sec_fetch_dest="document") == "403"
    for ours in ("none", "same-origin"):
        assert asked(OPEN, host=HOSTS[0], sec_fetch_site=ours) == "200"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        f"Bearer {TOKEN}",
        f"Basic {TOKEN}x",
        f"Basic {TOKEN[:-1]}",
        "Basic " + base64.b64encode(b"admin:password1234").decode(),
        "Basic " + base64.b64encode(b"mer:").decode(),
        "Basic \N{LATIN SMALL LETTER E WITH ACUTE}",
    ],
)
def test_without_the_password_nothing_but_the_health_is_answered(authorization: str | None) -> None:
    headers = {"host": HOSTS[0]} | ({} if authorization is None else {"authorization": authorization})
    assert asked(LOCKED, **headers) == "401"
    assert asked(LOCKED, "websocket", **headers) == "websocket.close"
    assert asked(LOCKED, path="/health", **headers) == "200"
    assert asked(LOCKED, path="/health/", **headers) == "401"
    assert asked(LOCKED, method="POST", path="/health", **headers) == "401"


def test_the_owner_is_let_in() -> None:
    for scheme in ("Basic", "basic"):
        assert asked(LOCKED, host=HOSTS[0], authorization=f"{scheme} {TOKEN}") == "200"
    assert asked(LOCKED, "websocket", host=HOSTS[0], authorization=f"Basic {TOKEN}") == "websocket.accept"
