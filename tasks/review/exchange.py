"""The queue as tasks of Label Studio, and its export as decisions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from infra.catalogue import Decision, ReviewFacts
from infra.errors import ReviewRefused
from infra.whole_files import write_whole
from mer.emotions import canonical_emotion
from mer.errors import CorpusError
from mer.review.label_studio import ExportedClip, ImportedReview, labelling_config, read_export, tasks_of
from tasks.review.queue import QueueItem, ReviewQueue
from tasks.stage.workspace import Workspace


def export_queue(space: Workspace, queue: ReviewQueue, file: Path) -> tuple[Path, int]:
    """Write the queue as Label Studio's tasks, and its labelling interface beside them; returns the latter's path, and how many
    clips without media were left out.
    """
    root = space.catalogue.corpus_root(queue.corpus)
    clips = [_exported(item, root) for item in queue.items if item.has_audio or item.has_video]
    write_whole(file, tasks_of(clips, f"{queue.model} version {queue.version}").encode(), sweep=True)
    config = file.with_name(f"{file.stem}.config.xml")
    video = any(clip.video for clip in clips)
    write_whole(config, labelling_config(queue.emotions, video).encode(), sweep=True)
    return config, len(queue.items) - len(clips)


def _exported(item: QueueItem, root: Path) -> ExportedClip:
    inside = item.path.is_relative_to(root)
    return ExportedClip(
        name=item.name,
        path=(item.path.relative_to(root) if inside else Path(item.path.name)).as_posix(),
        video=item.has_video,
        emotion=item.emotion,
        confidence=item.confidence,
    )


@dataclass(frozen=True)
class Imported:
    """What became of an export's answers."""

    written: int
    known: int
    """Answers that were written before."""
    refused: tuple[str, ...]
    """Reasons, a line each."""


def import_reviews(space: Workspace, queue: ReviewQueue, file: Path) -> Imported:
    """Write the answers of an export as decisions; read again it adds nothing.

    Raises:
        CorpusError: the file is no export of Label Studio.
    """
    answers = read_export(file)
    contents = space.catalogue.contents(queue.corpus, {answer.name for answer in answers})
    thought = {item.name: item for item in queue.items}
    before = {row.key for row in space.catalogue.reviews(queue.corpus)}
    counts, refused = Counter[str](), []
    for answer in answers:
        if answer.key in before:
            counts["known"] += 1
            continue
        try:
            space.catalogue.add_review(
                _facts(queue, answer, contents.get(answer.name, ""), thought.get(answer.name))
            )
            counts["written"] += 1
        except (ReviewRefused, CorpusError) as error:
            refused.append(f"{answer.name}: {error}")
    return Imported(counts["written"], counts["known"], tuple(refused))


def _facts(queue: ReviewQueue, answer: ImportedReview, content: str, item: QueueItem | None) -> ReviewFacts:
    emotions = [canonical_emotion(emotion, queue.emotions) for emotion in answer.emotions]
    if not emotions:
        decision = Decision.CANNOT_TELL
    elif len(emotions) > 1:
        decision = Decision.SEVERAL
    else:
        decision = Decision.ACCEPT if item is not None and item.emotion == emotions[0] else Decision.CORRECT
    shown = {"model": queue.model, "version": queue.version, "order": queue.order.value, "by": "label-studio"}
    return ReviewFacts(
        key=answer.key,
        corpus=queue.corpus,
        name=answer.name,
        content=content,
        annotator=answer.annotator,
        decision=decision,
        weights=dict.fromkeys(emotions, 1.0),
        shown=shown | (item.shown if item is not None else {}),
        seconds=answer.seconds,
    )
