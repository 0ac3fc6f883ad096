"""What the service counts, as Prometheus reads it at `/metrics`; names and labels: `infra.metrics.names.SERVICE`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.metrics.names import SERVICE

_SECONDS = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCHES = (1, 2, 4, 8, 16, 32)
_SMOOTHING = 0.1
_OTHER = "other"
"""Label of requests for what there is not: how many labels there are is not for clients to choose."""


class ServiceMetrics:
    """Counters of one service; safe among threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = self._made(Counter, "mer_serve_requests_total")
        self._seconds = self._made(Histogram, "mer_serve_request_seconds", buckets=_SECONDS)
        self._clips = self._made(Counter, "mer_serve_clips_total")
        self._batches = self._made(Histogram, "mer_serve_batch_clips", buckets=_BATCHES)
        self._waiting = self._made(Gauge, "mer_serve_queue_clips")
        self._version = self._made(Gauge, "mer_serve_model_version")
        self._changes = self._made(Counter, "mer_serve_model_changes_total")
        self.seconds_per_clip = 0.1
        """By the batches of late."""

    def page(self) -> bytes:
        """The page, as it is now."""
        return generate_latest(self.registry)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def clip(self, status: str) -> None:
        """A clip has its answer, or a status that says why not."""
        self._clips.labels(status).inc()

    def batch(self, clips: int, seconds: float) -> None:
        """Clips were answered together."""
        self._batches.observe(clips)
        self.seconds_per_clip += _SMOOTHING * (seconds / max(clips, 1) - self.seconds_per_clip)

    def serves(self, model: str, version: int) -> None:
        """A version answers from now on."""
        self._version.clear()
        self._version.labels(model).set(version)
        self._changes.labels(model).inc()

    def watch_queue(self, clips: Callable[[], int]) -> None:
        """How long the queue is, asked whenever the page is made."""
        self._waiting.set_function(clips)

    def _made(self, kind: Any, name: str, **options: Any) -> Any:
        metric = SERVICE[name]
        return kind(name, metric.description, metric.labels, registry=self.registry, **options)


class Measured:
    """An ASGI application that counts the requests of another one, by the path of the route."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def noticed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noticed)
        finally:
            path = getattr(scope.get("route"), "path", None) or _OTHER
            method = scope["method"] if path != _OTHER else _OTHER
            self._metrics.request(path, method, status, time.monotonic() - began)
