"""What the service is put together of: parts, each with routes, and perhaps a page.

A part is a module with one `PART`; `flows.service.parts` lists them. A page is an ES module in `static/pages/`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter

if TYPE_CHECKING:
    from flows.service.state import Service


@dataclass(frozen=True)
class Page:
    """An entry of the navigation."""

    name: str
    """Its address: `/#/NAME`, and its module: `static/pages/NAME.js`."""
    title: str
    """What the navigation calls it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some routes of the service, and the page that shows them."""

    name: str
    """What OpenAPI calls the group."""
    router: Callable[[Service], APIRouter]
    """Makes the routes; they read stores and model through the service that they are given, at each request."""
    page: Page | None = None
    """Shown in the navigation, in the order of the parts; None: no page."""
