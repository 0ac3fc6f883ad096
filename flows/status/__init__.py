"""What `mer status` shows: one module a subject, each with a function that gives its lines.

Every section may read and must not change anything; one that cannot be read says so in its place and the others follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from rich.markup import escape

from flows.explained_errors import explained
from flows.status.alerts import alerts
from flows.status.catalogue import catalogue
from flows.status.corpora import corpora
from flows.status.disk import disk
from flows.status.mixed_features import mixed_features
from flows.status.models import models
from flows.status.runs import runs
from flows.status.schedules import schedules
from flows.status.servers import servers
from flows.status.tracking import tracking
from flows.status.unfinished_work import unfinished_work
from flows.status.watches import watches
from flows.status.workers import workers
from flows.terminal import console
from infra.errors import InfraError
from infra.settings import load_settings
from tasks.stage.workspace import Workspace, existing_workspace

__all__ = ["show_status"]

_SECTIONS: Mapping[str, Callable[[Workspace], Iterable[str]]] = MappingProxyType(
    {
        "catalogue": catalogue,
        "models": models,
        "corpora": corpora,
        "features": mixed_features,
        "runs": runs,
        "schedules": schedules,
        "watches": watches,
        "alerts": alerts,
        "unfinished work": unfinished_work,
        "workers": workers,
        "tracking": tracking,
        "disk": disk,
    }
)
"""What to call a section that cannot be read, and what gives its lines (rich markup; escape what users named)."""


def show_status() -> None:
    """Home and servers; then, where anything was written, each section in its order."""
    settings = load_settings()
    refused: InfraError | None = None
    try:
        space = existing_workspace()
    except InfraError as error:
        space, refused = None, error
    empty = ": no corpus and no model yet, `mer run` makes them" if space is None and refused is None else ""
    console.print(f"[bold]home[/] {escape(str(settings.home))}{empty}", soft_wrap=True)
    for line in servers(settings):
        console.entry(line)
    if refused is not None:
        raise refused
    if space is None:
        return
    for name, section in _SECTIONS.items():
        try:
            for line in section(space):
                console.entry(line)
        except Exception as error:
            if (said := explained(error)) is None:
                raise
            console.print(f"{name}: cannot be read: {escape(said)}")
