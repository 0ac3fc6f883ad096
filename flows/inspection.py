"""What is there: models and evaluations. Read-only, but for the rollback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from flows.asking import end_asking
from flows.noteworthy import rolled_back
from flows.score_legend import WAF_LINE
from flows.terminal import console
from infra.catalogue import ModelVersionRow
from infra.modes import as_the_user_writes
from infra.observing import observe
from infra.settings import load_settings
from infra.whole_files import write_whole
from tasks.report.written import home_page
from tasks.serve import approval, by_hand
from tasks.serve.comparison import compare_versions, version_named
from tasks.serve.library import model_named, version_of
from tasks.stage.workspace import existing_workspace, reading_workspace


def show_models(model: str) -> None:
    """Versions, aliases and the audit of promotions."""
    space = existing_workspace()
    versions = space.catalogue.model_versions(model or None) if space is not None else []
    if space is None or not versions:
        known = sorted({row.name for row in space.catalogue.model_versions()}) if space is not None else []
        if model and known:
            raise LookupError(f"no model {model!r}: expected one of {', '.join(known)}")
        console.print("no model is registered yet: `mer run` makes one")
        return
    table = Table(title="model versions", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("model", "version", "alias", "acc.", "WAF", "holdout WAF", "registered"):
        right = column in ("version", "acc.", "WAF", "holdout WAF")
        # names are typed in again: never cut short
        table.add_column(column, justify="right" if right else "left", no_wrap=column == "model")
    for row in versions:
        aliases = [
            name for name in ("champion", "challenger") if _is(space.catalogue.aliased(row.name, name), row)
        ]
        table.add_row(
            row.name,
            str(row.version),
            ", ".join(aliases),
            *(_figure(row, name) for name in ("accuracy", "waf", "holdout_waf")),
            f"{row.created_at:%Y-%m-%d %H:%M}",
        )
    console.print(table)
    console.print(WAF_LINE, markup=False)
    for name in dict.fromkeys(row.name for row in versions):
        for entry in space.catalogue.promotions(name, alias=None):
            console.print(
                f"  {entry.created_at:%Y-%m-%d %H:%M} {name} v{entry.version} {entry.alias}"
                f"{f' {entry.action}' if entry.alias == 'approval' else ''}: {entry.reason}"
            )


def roll_back(model: str) -> None:
    """Put the previous champion back."""
    observe(load_settings(), "models")
    done = by_hand.roll_back(model)
    console.print(f"[bold]{model}[/]: champion is version {done.audit.version} again")
    rolled_back(model, done.audit.version)
    _print_remark(done.remark)


def promote(model: str, version: int, reason: str) -> None:
    """Make a version the champion by hand, and print the evidence that the audit keeps."""
    done = by_hand.promote_by_hand(model, version, reason)
    before = f" instead of version {done.audit.previous_version}" if done.audit.previous_version else ""
    console.print(f"[bold]{model}[/]: version {version} is champion{before}, promoted by hand")
    for line in done.evidence:
        console.print(f"  {line}", markup=False)
    _print_remark(done.remark)


def approve(model: str, version: int, reason: str) -> None:
    """Make a version that waits for approval the champion."""
    row, remark = approval.approve(model, version, reason)
    end_asking(model, version, f"approved by {row.actor}")
    who = f"{escape(str(row.actor))} on {row.created_at:%Y-%m-%d %H:%M} UTC"
    console.print(f"[bold]{model}[/]: version {version} is champion, approved by {who}")
    _print_remark(remark)


def reject(model: str, version: int, reason: str) -> None:
    """Refuse a version that waits for approval."""
    row = approval.refuse(model, version, reason)
    end_asking(model, version, f"refused by {row.actor}: {row.reason}")
    who = escape(f"{row.actor} on {row.created_at:%Y-%m-%d %H:%M} UTC: {row.reason}")
    console.print(f"[bold]{model}[/]: version {version} is refused, the champion stays; said by {who}")


def _print_remark(remark: str) -> None:
    if remark:
        console.print(f"  {remark}", markup=False)


def show_evaluation(model: str, version: int | None, out: Path | None) -> None:
    """Print the report of a version; write it and its figures to a folder if asked to."""
    space = reading_workspace()
    model = model_named(space, model)
    row = version_of(space, model, version)
    if row.evaluation is None:
        raise LookupError(f"model {model!r} version {row.version} was registered without an evaluation")
    report = json.loads(space.artifacts.read(row.evaluation, "report.json"))
    _print_report(row, report)
    if out is not None:
        with as_the_user_writes():
            for path in space.artifacts.fetch(row.evaluation).iterdir():
                if path.suffix in (".json", ".png"):
                    write_whole(out / path.name, path.read_bytes(), sweep=True)
        console.print(f"report.json and figures are in {out}")
    page = home_page(space.settings, row.name, row.version)
    where = f"in {page}" if page.is_file() else f"by `mer report {row.name} --version {row.version}`"
    console.print(f"all of it, with charts: the report {where}", markup=False, soft_wrap=True)


def show_comparison(model: str, version: int | None, against: str) -> None:
    """Print scores of two versions on the clips that both were scored on, with intervals of their differences."""
    space = reading_workspace()
    model = model_named(space, model)
    first = version_named(space, f"{model}:{version or ''}", model=model)
    second = version_named(space, against, model=model)
    compared = compare_versions(space, first, second)
    names = [f"{row.name} v{row.version}" for row in (first, second)]
    title = f"{compared.clips} clips that neither was trained on"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("score", *names, "difference", "95 %", "p"):
        table.add_column(column, justify="left" if column == "score" else "right")
    for row in compared.scores:
        cells = (f"{row.first:.4f}", f"{row.second:.4f}", f"{row.difference:+.4f}")
        table.add_row(row.name, *cells, f"{row.low:+.4f} to {row.high:+.4f}", f"{row.p_value:.4f}")
    console.print(table)
    console.print(
        f"differences: paired bootstrap, {compared.groups} {compared.resampled} resampled for both at once; an interval "
        "that holds 0 tells nothing. p: paired test, answers exchanged by speaker; of each score alone"
    )


def _print_report(row: ModelVersionRow, report: dict[str, Any]) -> None:
    from flows.result_table import print_systems

    print_systems(report, f"{row.name} version {row.version}, out-of-fold")
    served = next(system for system in report["systems"] if system["system"] == report["served"])
    recall = " ".join(f"{name} {value:.2f}" for name, value in served["recall"].items() if value is not None)
    console.print(f"recall of {report['served']}: {recall}")
    calibration = report["calibration"]
    console.print(
        f"calibration: expected error {calibration['ece_before']:.3f}, {calibration['ece_after']:.3f} at temperature "
        f"{calibration['temperature']:.3f}"
    )


def _is(aliased: ModelVersionRow | None, row: ModelVersionRow) -> bool:
    return aliased is not None and aliased.version == row.version


def _figure(row: ModelVersionRow, name: str) -> str:
    value = row.metrics.get(name)
    return f"{value:.3f}" if isinstance(value, int | float) else ""
