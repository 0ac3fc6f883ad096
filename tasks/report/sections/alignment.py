"""How well an aligned stream finds its partner: retrieval on clips of held-out speakers, beside chance."""

from __future__ import annotations

from typing import Any

from mer.report.blocks import Block, Section, Table
from mer.training.partition import FINAL_VIEW
from tasks.report.collected import EARLIER, Collected
from tasks.report.documents import Document
from tasks.report.run_results import ALIGNMENT

_RANKS = (1, 5, 10)


def alignment(found: Collected) -> Section:
    """Recall at 1, 5 and 10 both ways, of the served view; and recall at 1 of every view."""
    title = "Alignment"
    kept = found.kept(ALIGNMENT)
    if kept is None:
        return Section(name="alignment", title=title, absent=f"Alignments are {EARLIER}.")
    if not kept.names():
        return Section(name="alignment", title=title, absent="No stream was aligned to another.")
    anchors = found.package.recipe.anchors
    blocks: list[Block] = []
    for stream in kept.names():
        blocks += _aligned(kept, stream, anchors.get(stream, "its anchor"))
    return Section(
        name="alignment",
        title=title,
        lead="Among held-out clips, how often a clip of one stream finds its own clip of the other among the 1, 5 or 10 nearest.",
        blocks=tuple(blocks),
    )


def _aligned(kept: Document, stream: str, anchor: str) -> list[Block]:
    views = kept.names(stream)
    view = FINAL_VIEW if FINAL_VIEW in views else views[-1]
    ways = {
        f"{anchor} found by {stream}": "trained_to_anchor_r",
        f"{stream} found by {anchor}": "anchor_to_trained_r",
        "chance": "chance_r",
    }
    rows: list[tuple[Any, ...]] = []
    for prefix, where in (("", ""), ("within_speaker_", ", within speakers")):
        for label, key in ways.items():
            if kept.has(stream, view, f"{prefix}{key}1"):
                figures = [kept.figure(stream, view, f"{prefix}{key}{rank}") for rank in _RANKS]
                rows.append((label + where, *figures))
    if not rows:
        return []
    clips = [
        (one, kept.figure(stream, one, "retrieval_clips", form="count"),
         kept.figure(stream, one, "trained_to_anchor_r1"), kept.figure(stream, one, "chance_r1"))
        for one in views
    ]  # fmt: skip
    return [
        Table(
            caption=f"{stream} aligned to {anchor}: partners found, view {view}",
            columns=("", "R@1", "R@5", "R@10"),
            rows=tuple(rows),
        ),
        Table(
            caption=f"{anchor} found by {stream}, by view",
            columns=("view", "held-out clips", "R@1", "chance"),
            rows=tuple(clips),
        ),
    ]
