"""No request brings more than it may, or takes longer to: a body is counted as it arrives, whatever its length was said to be."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from flows.service.problems import PROBLEM_JSON, problem_body
from infra.services.guard import Application


class _Broken(Exception):
    """Ends the reading of a body; never leaves `BodyLimit`."""


class BodyLimit:
    """An ASGI application that refuses bodies beyond a size (413) or a time (408) before another one has read them.

    Args:
        app: what reads the bodies.
        limit_bytes: largest body.
        limit_seconds: longest time from the request to the last byte of its body.
    """

    def __init__(self, app: Application, limit_bytes: int, limit_seconds: float) -> None:
        self._application, self._bytes, self._seconds = app, limit_bytes, limit_seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, as long as it is small and quick enough."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
        elif _declared(scope) > self._bytes:
            await self.refuse(send, 413)
        else:
            await _Counted(self, receive, send).run(self._application, scope)

    @property
    def limits(self) -> tuple[int, float]:
        """Bytes and seconds."""
        return self._bytes, self._seconds

    async def refuse(self, send: Any, status: int) -> None:
        """Answer with this status, and end the connection."""
        code, detail = {
            413: (
                "too_large",
                f"expected a body of at most {self._bytes} bytes, found a larger one: send fewer or smaller clips",
            ),
            408: (
                "too_slow",
                f"expected the body within {self._seconds:g} s, found that it takes longer: send smaller clips",
            ),
        }[status]
        body = problem_body(status, code, detail)
        headers = [
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Counted:
    """One request whose body is counted. What the application makes of a body that broke off is not said: the refusal is."""

    def __init__(self, limit: BodyLimit, receive: Any, send: Any) -> None:
        self._limit, self._receive, self._send = limit, receive, send
        self._received, self._is_whole = 0, False
        self._broken: int | None = None
        self._answered = self._refused = False
        self._until = time.monotonic() + limit.limits[1]

    async def run(self, application: Application, scope: Any) -> None:
        try:
            await application(scope, self.receive, self.send)
        except _Broken:
            if not self._answered and not self._refused and self._broken is not None:
                await self._limit.refuse(self._send, self._broken)

    async def receive(self) -> Any:
        if self._is_whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._until - time.monotonic()))
        except TimeoutError:
            self._broken = 408
            raise _Broken from None
        self._received += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._received > self._limit.limits[0]:
            self._broken = 413
            raise _Broken
        return message

    async def send(self, message: Any) -> None:
        if self._broken is not None and not self._answered:
            if not self._refused:
                self._refused = True
                await self._limit.refuse(self._send, self._broken)
            return
        self._answered = self._answered or message["type"] == "http.response.start"
        await self._send(message)


def _declared(scope: Any) -> int:
    values = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    return int(values[0]) if len(values) == 1 and values[0].isdigit() else 0
