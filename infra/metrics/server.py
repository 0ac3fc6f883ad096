"""The web server of the page: one page, for whoever knows the password, behind the guard of the other local servers."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from infra.metrics.gathering import Gatherer
from infra.metrics.page import CONTENT_TYPE, metrics_page

logger = logging.getLogger(__name__)

SHORTEST_SECONDS = 1.0
"""Whoever asks more often gets the page of a moment ago: how often anybody asks costs the catalogue nothing."""


class MetricsServer:
    """An ASGI application: `/metrics`, and `/health`, which says that it runs."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer
        self._page = b""
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, send)

    async def _answer(self, scope: Any, send: Any) -> None:
        status, body = 404, b"expected /metrics\n"
        if scope["method"] not in ("GET", "HEAD"):
            status, body = 405, b"expected GET\n"
        elif scope["path"] == "/health":
            status, body = 200, b"ok\n"
        elif scope["path"] == "/metrics":
            try:
                status, body = 200, await self._now()
            except Exception as error:  # the next scrape may succeed
                logger.warning("the page of metrics could not be made: %r", error)
                status, body = 503, b"the page could not be made\n"
        headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _now(self) -> bytes:
        async with self._reading:
            if time.monotonic() - self._read_at >= SHORTEST_SECONDS:
                self._page = await asyncio.to_thread(metrics_page, self._gatherer)
                self._read_at = time.monotonic()
            return self._page


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
