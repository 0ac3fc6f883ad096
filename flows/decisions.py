"""Who decided on which version, when, from which to which, why, and on which evidence: the audit, for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flows.terminal import console
from infra.catalogue import ModelVersionRow, PromotionRow
from infra.catalogue.approvals import APPROVAL, APPROVED, WAITING
from tasks.serve.library import model_named
from tasks.serve.refit import REASON
from tasks.stage.workspace import reading_workspace

_DONE = {
    "set": "became {alias}",
    "rollback": "became {alias} again by a rollback",
    APPROVED: "became champion by approval",
    WAITING: "passed the gate and waits for approval",
    "refused": "was refused",
    "expired": "was not approved in time",
}


def show_why(model: str, version: int | None) -> None:
    """Print every decision on a model, or on one of its versions, with the version's origin."""
    space = reading_workspace()
    name = model_named(space, model)
    versions = {row.version: row for row in space.catalogue.model_versions(name)}
    if not versions:
        known = sorted({row.name for row in space.catalogue.model_versions()})
        raise LookupError(f"no model {name!r}: expected one of {', '.join(known)}")
    if version is not None and version not in versions:
        raise LookupError(f"no version {version} of {name}: expected one of {', '.join(map(str, versions))}")
    rows = [row for row in space.catalogue.promotions(name, None) if version in (None, row.version)]
    if not rows:
        console.print(f"nothing was decided on {name}{f' version {version}' if version else ''} yet")
        return
    for row in rows:
        for line in decision_lines(row, versions[row.version]):
            console.say(line)


def decision_lines(row: PromotionRow, version: ModelVersionRow) -> Iterator[str]:
    """A decision: when, what, who, from, to, why, the evidence, and where the version comes from."""
    done = _DONE.get(row.action, row.action).format(alias=row.alias)
    yield f"{row.created_at:%Y-%m-%d %H:%M} UTC  {row.name} version {row.version} {done}"
    yield f"  who       {row.actor or 'not noted at that time'}"
    if row.alias != APPROVAL:
        before = "none" if row.previous_version is None else f"version {row.previous_version}"
        yield f"  from, to  {row.alias}: {before} -> version {row.version}"
    against = "no champion" if row.champion_version is None else f"version {row.champion_version}"
    yield f"  against   {against} as champion"
    if row.expires_at is not None:
        yield f"  until     {row.expires_at:%Y-%m-%d %H:%M} UTC"
    yield f"  why       {row.reason}"
    for line in _figures(row):
        yield f"  evidence  {line}"
    for line in _origin(version):
        yield f"  origin    {line}"


def evidence_lines(row: PromotionRow) -> list[str]:
    """What a person who approves should know, a line each."""
    against = (
        "there is no champion yet"
        if row.champion_version is None
        else f"champion is version {row.champion_version}"
    )
    version = reading_workspace().catalogue.model_version(row.name, row.version)
    return [f"the gate: {row.reason}", against, *_figures(row), *_origin(version)]


def _figures(row: PromotionRow) -> Iterator[str]:
    found = json.loads(row.evidence) if row.evidence else {}
    if not isinstance(found, Mapping):
        return
    plain = {name: value for name, value in found.items() if name not in ("promote", "reason")}
    if plain:
        yield ", ".join(f"{name} {_shown(value)}" for name, value in plain.items() if value is not None)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_shown(item)}" for name, item in value.items()) + ")"
    return str(value)


def _origin(version: ModelVersionRow) -> Iterator[str]:
    origin = version.origin or {}
    if origin:
        commit = origin.get("commit", "")[:12]
        code = f"code {origin.get('code', '?')}{f', commit {commit}' if commit else ''}"
        changed = " with changed files" if "changed" in origin else ""
        yield f"recipe {origin.get('recipe', '?')}, corpus {origin.get('corpus', '?')}, {code}{changed}"
    if REASON in origin:
        yield f"fitted since {origin[REASON]}"
    if "flow_run" in origin:
        yield f"run {origin.get('flow_run_name', '')} {origin['flow_run']}"
    yield f"snapshot {(version.snapshot_id or 'none')[:12]}, package {version.artifact.sha256[:12]}"
