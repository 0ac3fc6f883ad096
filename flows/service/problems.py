"""Errors as answers: one JSON form for every refusal (RFC 9457, `application/problem+json`), and which status an error has.

The detail says what was expected, what was found and what to do, as all messages of the house; `code` is for programs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from flows.explained_errors import explained
from infra.errors import InfraError
from infra.hidden_secrets import hidden
from infra.observing import ERROR, record
from mer.errors import MediaError, MerError, QuarantineReason

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = 2
"""When to ask again where nobody knows better."""
_SHOWN_ERRORS = 5


class Problem(BaseModel):
    """Why a request was refused or failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(default="about:blank", description="Kind of problem as RFC 9457 has it.")
    title: str = Field(description="The status in words.")
    status: int = Field(ge=400, le=599, description="HTTP status.")
    code: str = Field(
        description="What happened, for programs: queue_full, too_large, no_model, timed_out, ..."
    )
    detail: str = Field(description="What was expected, what was found, what to do.")


class Refused(MerError):
    """A request that is not answered; becomes a `Problem`.

    Args:
        status: HTTP status, 400 to 599.
        code: for programs.
        message: expected, found, what to do.
        retry_seconds: when the same request may succeed; None: not by waiting.
    """

    def __init__(self, status: int, code: str, message: str, retry_seconds: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_seconds = status, code, retry_seconds
        self.transient = retry_seconds is not None


def problem_of(error: BaseException) -> Refused:
    """What an error says over HTTP; an error that nothing explains is a bug: status 500, its text stays here."""
    if isinstance(error, Refused):
        return error
    said = explained(error)
    if said is None:
        return Refused(
            500, "bug", "an unexpected error, which is a bug; the log of the service has its traceback"
        )
    if isinstance(error, MediaError) and error.transient:
        late = error.reason is QuarantineReason.TIMED_OUT
        return Refused(504 if late else 503, error.reason.value, said, RETRY_SECONDS)
    if getattr(error, "transient", False):
        return Refused(503, "unavailable", said, RETRY_SECONDS)
    if type(error) is LookupError:
        return Refused(404, "not_found", said)
    if isinstance(error, InfraError):
        known = type(error).__name__ in ("CatalogueError", "ArtifactMissing", "ObjectMissing")
        return Refused(404, "not_found", said) if known else Refused(503, "stores", said, RETRY_SECONDS)
    if isinstance(error, MerError):
        return Refused(422, "unusable", said)
    return Refused(503, "machine", said, RETRY_SECONDS)


def problem_body(status: int, code: str, detail: str) -> bytes:
    """The JSON of a problem."""
    problem = Problem(title=HTTPStatus(status).phrase, status=status, code=code, detail=detail)
    return problem.model_dump_json().encode()


def problem_response(refused: Refused, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says it."""
    more = dict(headers or {})
    if refused.retry_seconds is not None:
        more["Retry-After"] = str(refused.retry_seconds)
    body = problem_body(refused.status, refused.code, hidden(str(refused)))
    return Response(body, status_code=refused.status, headers=more, media_type=PROBLEM_JSON)


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error of the application become a problem."""

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        del request
        found = [f"{_where(item['loc'])}: {item['msg']}" for item in error.errors()[:_SHOWN_ERRORS]]
        more = len(error.errors()) - len(found)
        text = "; ".join(found) + (f"; and {more} more" if more > 0 else "")
        return problem_response(Refused(422, "invalid_request", f"the request is not as described: {text}"))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed", 400: "bad_request"}.get(
            error.status_code, "refused"
        )
        detail = f"{request.method} {request.url.path}: {error.detail}; /openapi.json describes what there is"
        return problem_response(Refused(error.status_code, code, detail), error.headers)

    @app.exception_handler(MerError)
    @app.exception_handler(InfraError)
    @app.exception_handler(LookupError)
    @app.exception_handler(OSError)
    @app.exception_handler(Exception)
    async def _ours(request: Request, error: Exception) -> Response:
        refused = problem_of(error)
        if refused.code == "bug":
            record(
                ERROR, "mer.service", f"{request.method} {request.url.path}: {type(error).__name__}: {error}"
            )
            logger.error("%s %s", request.method, request.url.path, exc_info=error)
        return problem_response(refused)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these statuses beside its own, for OpenAPI."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def plain_json(value: Any) -> JSONResponse:
    """A JSON answer of plain values."""
    return JSONResponse(value)


def _where(location: Any) -> str:
    return ".".join(str(part) for part in location) or "request"
