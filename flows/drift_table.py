"""What a person sees of drift: the tests that differ most, the priors, the verdict; in 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.artifacts import create_table_artifact
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from flows.result_table import points
from flows.terminal import console
from tasks.serve.drift import DriftFound

_SHOWN = 3
"""Tests of each family that are shown, besides those that alarm."""
_MOST = 24


def show_drift(found: DriftFound) -> None:
    """Print the tests, the priors and the verdict; all tests go to the Prefect UI."""
    console.print(
        f"[bold]drift[/] of {found.clips} new clips against the training snapshot of {found.model} version {found.version}"
    )
    if found.tests:
        console.print(table_of_tests(found))
        console.print(found.compared, markup=False)
        rows = [
            {name: one[name] for name in ("family", "what", "method", "effect", "adjusted", "alarm")}
            for one in found.tests
        ]
        create_table_artifact(
            rows, key="drift", description=f"{found.model} version {found.version}: {found.reason}"
        )
        console.print(f"priors, {found.priors}", markup=False)
    if found.tracked:
        shares = ", ".join(
            f"{name} {points(before)} to {points(now)}" for name, (before, now, _) in found.tracked.items()
        )
        console.print(
            f"priors tracked over {found.batches} batch{'' if found.batches == 1 else 'es'}: {shares}",
            markup=False,
        )
    for note in found.notes:
        console.print(f"[yellow]note[/] {escape(note)}")
    if found.unusable:
        console.print(f"{len(found.unusable)} files cannot be read")
    said = found.action if found.finding == "drift" else found.finding
    console.print(f"[bold]{said}[/]: {escape(found.reason.removeprefix('no drift: '))}")
    if found.action in ("suggest", "start"):
        console.print(
            f"`mer refresh` learns from the new clips without labels, `mer run` from labels too; `mer models {found.model}` "
            "shows what is served",
            markup=False,
        )


def table_of_tests(found: DriftFound) -> Table:
    """The tests that alarm, and of every family those with the largest effects."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("of", "what", "method", "effect", "p alone", "p of all", ""):
        right = column in ("effect", "p alone", "p of all")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for one in shown_tests(found.tests):
        table.add_row(
            one["family"],
            one["what"],
            one["method"],
            points(one["effect"]),
            points(one["p_value"]),
            points(one["adjusted"]),
            "alarm" if one["alarm"] else "",
        )
    return table


def shown_tests(tests: tuple[Mapping[str, Any], ...]) -> list[Mapping[str, Any]]:
    """Tests by family, the largest effects first: all that alarm, and a few more; at most so many as a screen has lines."""
    chosen = []
    for family in dict.fromkeys(one["family"] for one in tests):
        ranked = sorted(
            (one for one in tests if one["family"] == family),
            key=lambda one: (not one["alarm"], -one["effect"]),
        )
        chosen += [
            one for place, one in enumerate(ranked) if place < _SHOWN or (one["alarm"] and place < 2 * _SHOWN)
        ]
    return chosen[:_MOST]
