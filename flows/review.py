"""What `mer review` prints and does: the head of a queue, how far the review is, exchange with annotation tools."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from flows.terminal import console
from infra.catalogue import ModelVersionRow
from infra.modes import as_the_user_writes
from mer.review.orders import Order
from tasks.data.agreement import corpus_agreement, reviewers_agreement
from tasks.review.exchange import export_queue, import_reviews
from tasks.review.progress import ReviewCounts, review_gain, review_progress
from tasks.review.queue import review_queue
from tasks.serve.library import answering_version, model_named
from tasks.stage.workspace import Workspace, reading_workspace

ABOUT = {
    Order.UNCERTAINTY: "least sure first (entropy of calibrated probabilities)",
    Order.INFLUENCE: "whose label would change the model most first (expected change of its gradient)",
    Order.ERRORS: "labelled clips, likely label errors first (confident learning, out of fold)",
    Order.RANDOM: "in an order drawn once for this version",
}


def show_queue(model: str, version: int | None, order: Order, count: int) -> None:
    """Print the first clips of the queue."""
    space, row = _version(model, version)
    queue = review_queue(space, row, order)
    console.print(
        f"[bold]{row.name}[/] version {row.version}, corpus {queue.corpus}: {len(queue.items)} of {queue.asked} clips wait, "
        f"{ABOUT[order]}"
    )
    if queue.unknown:
        console.print(
            f"{queue.unknown} of them no model was asked about, and they stand last: they came after this version, or their "
            "speaker is held out; the next `mer refresh` asks about new ones",
            markup=False,
        )
    if not queue.items:
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in ("clip", "thought of as", "by", "sure", "score"):
        right = column in ("sure", "score")
        table.add_column(column, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for item in queue.items[:count]:
        sure = "" if item.confidence is None else f"{item.confidence:.2f}"
        mark = " (likely wrong)" if item.likely_wrong else ""
        table.add_row(item.name, f"{item.emotion or '?'}{mark}", item.source, sure, f"{item.score:.3f}")
    console.print(table)
    console.print(
        f"`mer ui` plays and asks; `mer review {row.name} --status` says how far it is", markup=False
    )


def show_status(model: str, version: int | None) -> None:
    """Print what was decided, how often what was shown was right, and what the labels gave."""
    space, row = _version(model, version)
    corpus = _corpus(space, row)
    progress = review_progress(space, corpus)
    if not progress.all.decisions:
        console.print(
            f"nothing of corpus {corpus} is reviewed yet; `mer review {row.name}` shows what waits",
            markup=False,
        )
    else:
        table = Table(box=None, padding=(0, 1, 0, 0))
        for column in (
            "reviewer",
            "clips",
            "accept",
            "correct",
            "several",
            "cannot tell",
            "as shown",
            "seconds",
        ):
            table.add_column(column, justify="left" if column == "reviewer" else "right", overflow="fold")
        for who, counts in progress.by_annotator.items():
            table.add_row(who, *_cells(counts))
        if len(progress.by_annotator) > 1:
            table.add_row("all", *_cells(progress.all))
        console.print(
            f"[bold]{row.name}[/], corpus {corpus}: {progress.all.decisions} decisions, {progress.taken_back} taken back"
        )
        console.print(table)
        console.print(
            "as shown: share of the labels shown that the reviewer accepted; seconds: median a clip"
        )
    for title, agreement in (
        ("reviewers", reviewers_agreement(space, corpus)),
        ("annotators", corpus_agreement(space, corpus)),
    ):
        for line in agreement.lines() if agreement is not None and agreement.clips_with_several else ():
            console.print(f"{title}: {line}", markup=False)
    gain = review_gain(space, row.name)
    if gain is not None:
        console.print(gain.line(), markup=False)


def export(model: str, version: int | None, order: Order, file: Path) -> None:
    """Write the queue for Label Studio."""
    space, row = _version(model, version)
    queue = review_queue(space, row, order)
    with as_the_user_writes():
        config, without = export_queue(space, queue, file)
    console.print(
        f"{len(queue.items) - without} tasks in {file}, labelling interface in {config}",
        markup=False,
        soft_wrap=True,
    )
    if without:
        console.print(f"{without} clips have no media to play, and were left out")
    console.print(
        f"Label Studio's local storage must serve {space.catalogue.corpus_root(queue.corpus)}; its export (JSON) comes back by "
        f"`mer review {row.name} --import FILE`",
        markup=False,
        soft_wrap=True,
    )


def take_in(model: str, version: int | None, order: Order, file: Path) -> int:
    """Write an export's answers as decisions; returns how many could not be."""
    space, row = _version(model, version)
    done = import_reviews(space, review_queue(space, row, order), file)
    console.print(f"{done.written} decisions written, {done.known} were there already")
    for line in done.refused:
        console.print(f"not written: {line}", markup=False, soft_wrap=True)
    return len(done.refused)


def _version(model: str, version: int | None) -> tuple[Workspace, ModelVersionRow]:
    space = reading_workspace()
    return space, answering_version(space, model_named(space, model), version).row


def _corpus(space: Workspace, row: ModelVersionRow) -> str:
    corpus = None if row.snapshot_id is None else space.catalogue.corpus_of(row)
    if corpus is None:
        raise LookupError(
            f"{row.name} version {row.version}: expected a version with a snapshot, found none: nothing is reviewed"
        )
    return corpus


def _cells(counts: ReviewCounts) -> tuple[str, ...]:
    kinds = (str(counts.by_kind.get(kind, 0)) for kind in ("accept", "correct", "several", "cannot_tell"))
    share = "" if counts.agreement is None else f"{counts.agreement:.2f}"
    return str(counts.decisions), *kinds, share, "" if counts.seconds is None else f"{counts.seconds:.1f}"
