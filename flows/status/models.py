"""The models: which version is served, since when and why, which ones wait, and whether MLflow says the same."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from infra.catalogue import PromotionRow
from infra.catalogue.approvals import APPROVED
from infra.tracking.registry import RegistryModel
from tasks.report.written import home_page
from tasks.serve.registry import registry_lines, registry_models
from tasks.stage.workspace import Workspace


def models(space: Workspace) -> Iterator[str]:
    """A line for each model, and one of what MLflow has of it."""
    listed = registry_models(space)
    said = registry_lines(space, listed) if listed else {}
    for model in listed:
        yield f"[bold]model {escape(model.name)}[/] {_served(space, model)}{_waiting(model)}"
        for row in space.catalogue.approvals_waiting(model.name):
            until = f" until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at is not None else ""
            yield f"  version {row.version} waits{until} for approval: `mer models {escape(model.name)} --approve {row.version}`"
        yield from _growth(space, model.name)
        yield from _report(space, model)
        yield f"  {escape(said[model.name])}"


def _served(space: Workspace, model: RegistryModel) -> str:
    audit = space.catalogue.promotions(model.name)
    count = len(model.versions)
    if "champion" not in model.aliases or not audit:
        return f"no champion, {count} version{'' if count == 1 else 's'}"
    last = audit[-1]
    return f"champion is version {last.version} since {last.created_at:%Y-%m-%d %H:%M} UTC, {_action(last)}"


def _report(space: Workspace, model: RegistryModel) -> Iterator[str]:
    """The report of the champion, or of the newest version where there is none."""
    newest = max((version.number for version in model.versions), default=0)
    page = home_page(space.settings, model.name, model.aliases.get("champion", newest))
    if page.is_file():
        yield f"  report {escape(str(page))}"


def _growth(space: Workspace, model: str) -> Iterator[str]:
    """What the last run that asked decided on fitting again."""
    for row in space.catalogue.refits(model, last=1):
        since = f" since version {row.since_version}" if row.since_version is not None else ""
        yield f"  growth{since}, {row.created_at:%Y-%m-%d %H:%M} UTC: {escape(row.reason)}"


def _action(row: PromotionRow) -> str:
    if row.action == "rollback":
        return "by a rollback"
    if row.action == APPROVED:
        return f"approved by {escape(row.actor or '?')}"
    return "promoted by hand" if row.reason.startswith("promoted by hand") else "promoted by the gate"


def _waiting(model: RegistryModel) -> str:
    challenger = model.aliases.get("challenger")
    if challenger is None or challenger == model.aliases.get("champion"):
        return ""
    return f"; challenger: version {challenger}"
