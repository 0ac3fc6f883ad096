"""What was trained on what: clips, classes, speakers, and the streams with what was learnt of each."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlencode

from mer.clips import Split
from mer.predictor.package import ServedStream
from mer.recipes import Stream
from mer.report.blocks import Block, Remark, Section, Table
from mer.report.figures import Figure
from tasks.data.reviewed import reviewed_count
from tasks.report.collected import Collected


def trained_on(found: Collected) -> Section:
    """Counts of the snapshot, and the streams."""
    blocks: list[Block] = []
    if found.members:
        blocks += [_counts(found), _classes(found)]
    else:
        blocks.append(Remark(parts=("The snapshot of its clips is not kept any more.",)))
    blocks += _reviewed(found)
    blocks.append(_streams(found))
    taught = found.package.generations
    system = f"Served is {found.package.system!r}"
    system += f", which learnt from {len(taught)} generations of pseudo-labels too." if taught else "."
    blocks.append(Remark(parts=(system,)))
    return Section(name="trained-on", title="Trained on", blocks=tuple(blocks))


def snapshot_figure(value: float, **of: str) -> Figure:
    """A number of clips (or speakers) of the snapshot."""
    return Figure(value=value, source=f"snapshot?{urlencode({'measure': 'clips', **of})}", form="count")


def _counts(found: Collected) -> Remark:
    members = found.members
    labelled = sum(one.emotion is not None for one in members)
    held = sum(one.split == Split.TEST for one in members)
    speakers = len({one.speaker for one in members} - {None})
    return Remark(
        parts=(
            f"Corpus {found.corpus}: ",
            snapshot_figure(len(members)),
            " clips, ",
            snapshot_figure(labelled, emotion="*"),
            " of them labelled, ",
            snapshot_figure(held, split=Split.TEST.value),
            " held out as the test split; ",
            snapshot_figure(speakers, measure="speakers"),
            " speakers.",
        )
    )


def _reviewed(found: Collected) -> list[Remark]:
    """How many labels people gave in the review queue; nothing without any."""
    count = reviewed_count(found.members)
    if not count:
        return []
    return [
        Remark(
            parts=(
                "Labels of reviewers, given in the queue of `mer ui`: ",
                snapshot_figure(count, source="review"),
                f". `mer review {found.row.name} --status` says what they gave.",
            )
        )
    ]


def _classes(found: Collected) -> Table:
    by_class = Counter((str(one.emotion), one.split == Split.TEST) for one in found.members)
    rows = tuple(
        (
            name,
            snapshot_figure(by_class[name, False], emotion=name, split="not test"),
            snapshot_figure(by_class[name, True], emotion=name, split=Split.TEST.value),
        )
        for name in found.emotions
    )
    return Table(
        caption="Labelled clips by class", columns=("class", "for training", "test split"), rows=rows
    )


def _streams(found: Collected) -> Table:
    recipe = found.package.recipe
    rows: list[tuple[Any, ...]] = []
    for name, stream in recipe.streams.items():
        served = found.package.served(name)
        features = stream.features
        used = "fused" if name in recipe.reads else "aligned to, not fused"
        rows.append((name, str(features.modality), str(features.source), used, _learnt(stream, served)))
    return Table(
        caption="Streams",
        columns=("stream", "modality", "encoder or files", "used", "learnt of it"),
        rows=tuple(rows),
    )


def _learnt(stream: Stream, served: ServedStream) -> str:
    said = [f"hidden state {served.read_layer} is read"] if served.read_layer is not None else []
    said += [f"layers {served.block[0] + 1} to {served.block[1]} adapted"] if served.block is not None else []
    said += ["aligned"] if served.alignment is not None else []
    speeds = getattr(stream, "frozen_speeds", ())
    said += [f"read at {len(speeds) + 1} speeds"] if speeds else []
    return ", ".join(said) or "nothing: read as its encoder gives it"
