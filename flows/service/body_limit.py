"""No request brings more than it may: a body is counted as it arrives, whatever its length was said to be."""

from __future__ import annotations

from typing import Any

from flows.service.problems import PROBLEM_JSON, problem_body
from infra.services.guard import Application


class TooLarge(Exception):
    """Ends the reading of a body; never leaves `BodyLimit`."""


class BodyLimit:
    """An ASGI application that refuses bodies beyond `limit_bytes` (413) before another one has read them."""

    def __init__(self, application: Application, limit_bytes: int) -> None:
        self._application, self._limit = application, limit_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, as long as it is small enough."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        if _declared(scope) > self._limit:
            await self._refuse(send)
            return
        received, answered, refused = 0, False, False

        async def counted() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise TooLarge
            return message

        async def instead(message: Any) -> None:
            """What the application makes of a body that broke off is not said: the refusal is."""
            nonlocal answered, refused
            if received > self._limit and not answered:
                if not refused:
                    refused = True
                    await self._refuse(send)
                return
            answered = answered or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._application(scope, counted, instead)
        except TooLarge:
            if not answered and not refused:
                await self._refuse(send)

    async def _refuse(self, send: Any) -> None:
        detail = (
            f"expected a body of at most {self._limit} bytes, found a larger one: send fewer or smaller clips"
        )
        body = problem_body(413, "too_large", detail)
        headers = [
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _declared(scope: Any) -> int:
    values = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    return int(values[0]) if len(values) == 1 and values[0].isdigit() else 0
