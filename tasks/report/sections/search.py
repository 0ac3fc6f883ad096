"""What a searched system tried and what it chose, and the studies of `mer search`."""

from __future__ import annotations

from typing import Any

from mer.report.blocks import Block, Section, Table
from mer.training.partition import FINAL_VIEW
from tasks.report.collected import EARLIER, Collected
from tasks.report.documents import Document
from tasks.report.run_results import SEARCH
from tasks.report.sections.studies import study_blocks

MOST = 30
"""Candidates that are listed."""
_ABOUT_STUDIES = "What `mer search` tried around this recipe on this corpus; no test clip was looked at."


def search(found: Collected) -> Section:
    """Candidates of the served view, by weight; studies around the recipe."""
    title = "Search"
    kept = found.kept(SEARCH)
    studies = study_blocks(found)
    served = f"fusion {found.package.system}"
    searched = kept is not None and served in kept.names()
    if kept is None and not studies:
        return Section(name="search", title=title, absent=f"Searches are {EARLIER}.")
    if not searched and not studies:
        return Section(
            name="search",
            title=title,
            absent="The served system was not searched for: the recipe names its options (`mer search` looks for better ones).",
        )
    if kept is None or not searched:
        return Section(name="search", title=title, lead=_ABOUT_STUDIES, blocks=tuple(studies))
    blocks: list[Block] = [_candidates(kept, served), *studies]
    return Section(
        name="search",
        title=title,
        lead="Candidates are judged on inner folds of the training speakers, and weighted; those of weight 0 take no part. "
        "Kernel machines have a width and a penalty, logistic regressions an inverse penalty.",
        blocks=tuple(blocks),
    )


def _candidates(kept: Document, name: str) -> Table:
    views = kept.names(name)
    view = FINAL_VIEW if FINAL_VIEW in views else views[-1]
    rows = kept.value(name, view)
    order = sorted(
        range(len(rows)), key=lambda row: (-rows[row].get("weight", 0.0), rows[row].get("loss", 0.0))
    )
    keys = ("weight", "loss", "waf", "accuracy", "width", "penalty", "inverse_penalty")
    shown: list[tuple[Any, ...]] = []
    for row in order[:MOST]:
        kind = "logistic" if "inverse_penalty" in rows[row] else "kernel"
        kind += ", varied clips too" if rows[row].get("varied") else ""
        figures = [
            kept.figure(
                name, view, row, key, form="score" if key in ("weight", "waf", "accuracy") else "number"
            )
            if key in rows[row]
            else ""
            for key in keys
        ]
        shown.append((f"{int(rows[row].get('candidate', row))}: {kind}", *figures))
    return Table(
        caption=f"Candidates of {name}, view {view}",
        columns=("candidate", "weight", "log-loss", "WAF", "accuracy", "width", "penalty", "inverse penalty"),
        rows=tuple(shown),
        omitted=max(0, len(rows) - MOST),
    )
