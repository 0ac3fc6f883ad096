"""The pages: plain HTML, ES modules and one style sheet out of the package. Nothing is fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.staticfiles import StaticFiles

import mer
from flows.service.part import Page

STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""Of every answer: a page that would load anything from elsewhere, or run what was injected, is stopped by the browser."""


class PageEntry(BaseModel):
    """An entry of the navigation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Address /#/NAME and module static/pages/NAME.js.")
    title: str


class Site(BaseModel):
    """What the shell of the pages asks for first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(description="Of the package.")
    pages: tuple[PageEntry, ...]


def add_pages(app: FastAPI, pages: Sequence[Page]) -> None:
    """Serve the shell at `/`, its files below `/static`, and the list of pages."""
    entries = tuple(PageEntry(name=page.name, title=page.title) for page in pages)
    router = APIRouter(tags=["pages"])

    @router.get("/", include_in_schema=False)
    def shell() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @router.get("/favicon.ico", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(STATIC / "icon.svg", media_type="image/svg+xml")

    @router.get("/api/site", summary="Pages and version")
    def site() -> Site:
        return Site(version=mer.__version__, pages=entries)

    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
