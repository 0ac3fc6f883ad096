"""Who may talk to a server at all: an ASGI application around another one, which refuses before the other sees the request.

Refused are requests and websockets

- for another host than those the server is known by (a name of an attacker's that resolves to this machine: DNS rebinding),
- that a browser sends from a page of another origin, or from an unknown one (`Origin: null`), preflights included; where a
  browser says so by `Sec-Fetch-Site` alone, everything but opening the page itself,
- without user and password, where the guard has them to ask for (a server with an authentication itself asks for its own).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

Message = Mapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Refusal = Callable[[int, str], tuple[str, bytes]]
"""Status and reason of a refusal -> content type and body of the answer."""

_POLICY_VIOLATION = 1008
"""Code that closes a websocket; before it is accepted, servers answer 403."""
_OPENING_A_PAGE = {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document"}


class Guard:
    """An ASGI application that lets some of the requests through to another one."""

    def __init__(
        self,
        application: Application,
        hosts: Collection[str],
        *,
        credentials: tuple[str, str] | None = None,
        public: Collection[str] = (),
        bearer: bool = False,
        refusal: Refusal | None = None,
    ) -> None:
        """Args:
        application: what is guarded.
        hosts: values of `Host` that are let through, HOST:PORT; they are the allowed origins too.
        credentials: user and password that are asked for; None: by the application itself.
        public: paths that may be read without a password (whether the server is up).
        bearer: the password alone, as a bearer token, is good too.
        refusal: what a refusal says; None: its reason, as text.
        """
        self._application = application
        self._hosts = {host.strip().lower().encode("latin-1") for host in hosts if host.strip()}
        self._origins = {scheme + host for scheme in (b"http://", b"https://") for host in self._hosts}
        self._token = None if credentials is None else base64.b64encode(":".join(credentials).encode())
        self._bearer = credentials[1].encode() if credentials is not None and bearer else None
        self._public = frozenset(public)
        self._says = refusal or _plain_text

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal is None:
                await self._application(scope, receive, _framed_by_nobody(send))
            else:
                await _refuse(send, refusal[0], *self._says(*refusal))
        elif scope["type"] == "websocket" and self._refusal(scope) is not None:
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await self._application(scope, receive, send)

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        """Status and reason; None: let through."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value.strip())
        if not self._all_in(headers.get(b"host"), self._hosts):
            return 403, "the server is not known by this host"
        if (origins := headers.get(b"origin")) is not None:
            if not self._all_in(origins, self._origins):
                return 403, "requests of other origins are refused"
        elif _is_from_another_page(scope, headers):
            return 403, "requests of other sites are refused"
        if self._token is None or self._is_public(scope):
            return None
        return None if self._knows_the_password(headers.get(b"authorization")) else (401, "password required")

    @staticmethod
    def _all_in(values: list[bytes] | None, allowed: Collection[bytes]) -> bool:
        return bool(values) and all(value.lower() in allowed for value in values or ())

    def _is_public(self, scope: Message) -> bool:
        return scope.get("method") in ("GET", "HEAD") and scope["path"] in self._public

    def _knows_the_password(self, values: list[bytes] | None) -> bool:
        if self._token is None or values is None or len(values) != 1:
            return False
        scheme, _, token = values[0].partition(b" ")
        if scheme.lower() == b"bearer" and self._bearer is not None:
            return hmac.compare_digest(token.strip(), self._bearer)
        return scheme.lower() == b"basic" and hmac.compare_digest(token.strip(), self._token)


def _is_from_another_page(scope: Message, headers: Mapping[bytes, list[bytes]]) -> bool:
    """What a browser says of a request without an origin; other clients say nothing."""
    site = headers.get(b"sec-fetch-site", [b"none"])
    if site in ([b"none"], [b"same-origin"]):
        return False
    opens = all(headers.get(name) == [value] for name, value in _OPENING_A_PAGE.items())
    return scope.get("method") != "GET" or not opens  # a link to the server may be followed


def _plain_text(status: int, reason: str) -> tuple[str, bytes]:
    del status
    return "text/plain; charset=utf-8", reason.encode()


async def _refuse(send: Any, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="mer", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _framed_by_nobody(send: Any) -> Any:
    """Answers may not be shown in frames of other pages, where clicks could be stolen."""

    async def with_header(message: Any) -> None:
        if message["type"] == "http.response.start":
            others = [item for item in message.get("headers", ()) if item[0].lower() != b"x-frame-options"]
            message = {**message, "headers": [*others, (b"x-frame-options", b"SAMEORIGIN")]}
        await send(message)

    return with_header
