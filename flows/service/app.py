"""The application: parts, pages, errors, and headers of every answer. Who may ask: `flows.service.access`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import mer
from flows.service.body_limit import BodyLimit
from flows.service.metrics import Measured
from flows.service.pages import HEADERS, add_pages
from flows.service.part import Part
from flows.service.parts import PARTS
from flows.service.problems import Problem, add_problem_handlers, described
from flows.service.state import Service

DESCRIPTION = (
    "Emotion and valence of clips, by the champion of a home. Errors are problems (RFC 9457): what was expected, what was found, "
    "what to do."
)


def build_app(service: Service, parts: Sequence[Part] = PARTS) -> FastAPI:
    """The application of a service.

    Args:
        service: stores and limits.
        parts: what it is put together of.
    """
    app = FastAPI(
        title="mer",
        version=mer.__version__,
        description=DESCRIPTION,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    add_problem_handlers(app)
    for part in parts:
        app.include_router(part.router(service))
    add_pages(app, service, [part.page for part in parts if part.page is not None])
    app.add_middleware(WithHeaders)
    app.add_middleware(
        BodyLimit, limit_bytes=service.limits.upload_bytes, limit_seconds=service.limits.upload_seconds
    )
    app.add_middleware(Measured, metrics=service.metrics)
    _describe_problems(app)
    return app


class WithHeaders:
    """Adds the headers of every answer; those that a route sets itself stay."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


_OF_BODIES = (400, 408, 413)
"""What any body may be answered with: it is no JSON or form, takes too long, or is too large."""


def _with_body(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in schema["paths"].values():
        yield from (operation for operation in operations.values() if "requestBody" in operation)


def _describe_problems(app: FastAPI) -> None:
    """OpenAPI with the form of problems, and without the validation error that the framework would describe."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            parts = schema.setdefault("components", {}).setdefault("schemas", {})
            parts["Problem"] = Problem.model_json_schema()
            for name in ("HTTPValidationError", "ValidationError"):
                parts.pop(name, None)
            for operation in _with_body(schema):
                for status, answer in described(*_OF_BODIES).items():
                    operation["responses"].setdefault(str(status), answer)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
