"""Rounds of self-training: what was labelled, how often held-out labels say it is right, and what the guards found."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from infra.catalogue import GenerationRow
from mer.report.blocks import Block, Section, Table
from mer.report.figures import Figure, Form
from tasks.report.collected import Collected


def pseudo_labels(found: Collected) -> Section:
    """The generations that the version learnt from, or that were tried on its snapshot."""
    recipe, title = found.package.recipe, "Pseudo-labels"
    if recipe.pseudo_labels is None:
        return Section(
            name="pseudo-labels",
            title=title,
            absent="The recipe learns from no pseudo-labels (`pseudo_labels`).",
        )
    rows = [row for row in _generations(found) if _concerns(found, row)]
    if not rows:
        return Section(
            name="pseudo-labels",
            title=title,
            absent="There was no unlabelled clip that the voters agreed on.",
        )
    blocks: list[Block] = [_summary(found, rows), *(_classes(found, row) for row in rows)]
    return Section(
        name="pseudo-labels",
        title=title,
        lead="Labels that models voted for. Right on held-out: of held-out clips that would have been labelled so, how many "
        "truly are.",
        blocks=tuple(blocks),
    )


def _generations(found: Collected) -> list[GenerationRow]:
    if not found.corpus:
        return []
    return found.space.catalogue.generations(found.corpus, found.package.recipe.name)


def _concerns(found: Collected, row: GenerationRow) -> bool:
    return row.key in found.package.generations or (row.policy or {}).get("snapshot") == found.row.snapshot_id


def _figure(row: GenerationRow, value: float | None, field: str, form: Form = "count") -> Figure:
    query = urlencode({"generation": row.key, "field": field})
    return Figure(value=value, source=f"catalogue?{query}", form=form)


def _summary(found: Collected, rows: list[GenerationRow]) -> Table:
    return Table(
        caption="Generations",
        columns=("generation", "round", "labels", "state", "learnt from", "why"),
        rows=tuple(
            (
                f"generation {row.number}",
                _figure(row, float(row.round), "round"),
                _figure(row, float(sum(row.counts.values())), "labels"),
                str(row.state),
                "yes" if row.key in found.package.generations else "no",
                row.reason or "",
            )
            for row in rows
        ),
    )


def _classes(found: Collected, row: GenerationRow) -> Table:
    rows: list[tuple[Any, ...]] = []
    for name in found.emotions:
        right, of = (row.precision or {}).get(name, (0, 0))
        rows.append(
            (
                name,
                _figure(row, float(row.counts.get(name, 0)), f"counts/{name}"),
                _figure(row, (row.thresholds or {}).get(name), f"thresholds/{name}", "score"),
                _figure(row, float(right), f"precision/{name}/0"),
                _figure(row, float(of), f"precision/{name}/1"),
            )
        )
    return Table(
        caption=f"Generation {row.number} by class",
        columns=("class", "labels", "least confidence", "right on held-out", "of"),
        rows=tuple(rows),
    )
