"""What each layer of an encoder contributes: the layer studies of the served view."""

from __future__ import annotations

from mer.report.blocks import Block, Lines, Section, Series, Table
from mer.training.partition import FINAL_VIEW
from tasks.report.collected import EARLIER, Collected
from tasks.report.documents import Document
from tasks.report.run_results import LAYERS


def layers(found: Collected) -> Section:
    """Score by hidden state with its interval, and the blocks that the views chose."""
    title = "What layers contribute"
    kept = found.kept(LAYERS)
    if kept is None:
        return Section(name="layers", title=title, absent=f"Layer studies are {EARLIER}.")
    if not kept.names():
        return Section(
            name="layers", title=title, absent="No layers were studied: the recipe names what is read."
        )
    blocks: list[Block] = []
    for stream in kept.names():
        blocks += _study(kept, stream)
    return Section(
        name="layers",
        title=title,
        lead="Each hidden state of an encoder is scored by the same linear head, on speakers that the head never saw; state 0 is "
        "the front end. The shaded layers are those that are adapted.",
        blocks=tuple(blocks),
    )


def _study(kept: Document, stream: str) -> list[Block]:
    views = kept.names(stream)
    view = FINAL_VIEW if FINAL_VIEW in views else views[-1]
    count = len(kept.value(stream, view, "mean"))
    states = tuple(float(state) for state in range(count))
    columns = {
        name: tuple(kept.figure(stream, view, name, state) for state in range(count))
        for name in ("mean", "low", "high", "weights")
        if kept.has(stream, view, name)
    }
    start, stop = kept.value(stream, view, "best_block")
    series = [
        Series(
            name="score, 95 % interval", x=states, y=columns["mean"], low=columns["low"], high=columns["high"]
        )
    ]
    if "weights" in columns:
        series.append(Series(name="share in a learned mixture", x=states, y=columns["weights"]))
    return [
        Lines(
            title=f"{stream}: score by hidden state, view {view}",
            x_label="hidden state (0: front end)",
            y_label="score, held-out speakers",
            series=tuple(series),
            shade=(start + 0.5, stop + 0.5),
            shade_label=f"{layers_text(start, stop)}, the best block",
        ),
        Table(
            caption=f"{stream}: what each view chose by its own training clips",
            columns=("view", "best single state", "best block"),
            rows=tuple(
                (
                    one,
                    kept.figure(stream, one, "best_layer", form="count"),
                    _block(kept, stream, one),
                )
                for one in views
            ),
        ),
    ]


def _block(kept: Document, stream: str, view: str) -> str:
    start, stop = kept.value(stream, view, "best_block")
    return layers_text(start, stop)


def layers_text(start: int, stop: int) -> str:
    """What a block of layers is called; layers are counted from 1."""
    return f"layer {stop}" if stop == start + 1 else f"layers {start + 1} to {stop}"
