"""What each stream weighs in the answers, and what an answer loses without it."""

from __future__ import annotations

from typing import Any

from mer.report.blocks import Bars, Block, Remark, Section, Table
from tasks.report.collected import EARLIER, Collected
from tasks.report.documents import Document
from tasks.report.run_results import WEIGHTS

_LEAD = (
    "Weight: how much a stream enters the answer, on the scale of its kind of system. Lost: how much probability the answer "
    "loses when the stream is masked; streams that tell the same lose little each. On clips that the folds' models never saw."
)


def weights(found: Collected) -> Section:
    """Means over clips, and what is lost by true class."""
    title = "What streams are worth"
    kept = found.kept(WEIGHTS)
    if kept is None:
        return Section(name="weights", title=title, absent=f"Weights of streams are {EARLIER}.")
    if members := kept.names("members"):
        rows = tuple((name, kept.figure("members", name)) for name in members)
        table = Table(caption="Members of the ensemble", columns=("member", "weight"), rows=rows)
        return Section(
            name="weights", title=title, lead="How the members' answers are weighted.", blocks=(table,)
        )
    if not (streams := kept.names("weight")):
        return Section(name="weights", title=title, absent="The served system says no weights of streams.")
    return Section(name="weights", title=title, lead=_LEAD, blocks=_blocks(kept, tuple(streams)))


def _blocks(kept: Document, streams: tuple[str, ...]) -> tuple[Block, ...]:
    lost = bool(kept.names("lost"))
    rows: list[tuple[Any, ...]] = []
    for name in streams:
        figures = [kept.figure("weight", name), *([kept.figure("lost", name, form="signed")] if lost else [])]
        rows.append((name, *figures))
    blocks: list[Block] = [
        Remark(parts=("Means over ", kept.figure("clips", form="count"), " clips.")),
        Table(
            caption="Streams",
            columns=("stream", "mean weight", *(["probability lost without it"] if lost else [])),
            rows=tuple(rows),
        ),
    ]
    if classes := kept.names("lost_by_class"):
        blocks.append(
            Bars(
                title="Probability lost without a stream, by true class",
                axis="probability",
                series=streams,
                groups=tuple(classes),
                values=tuple(
                    tuple(kept.figure("lost_by_class", emotion, name, form="signed") for name in streams)
                    for emotion in classes
                ),
            )
        )
    return tuple(blocks)
