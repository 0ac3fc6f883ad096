"""Label Studio's JSON: a queue as its tasks with predictions, and its export as decisions.

Format: labelstud.io/guide/tasks and /guide/export ("JSON" and "JSON-MIN"). Clips are named in `data.name`; where Label Studio
finds the file is `data.clip`, a path below the folder that its local storage serves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from mer.errors import UNREADABLE, CorpusError

CANNOT_TELL = "cannot tell"
"""Choice beside the emotions."""
_FROM, _TO = "emotion", "clip"
MOST_BYTES = 1 << 28
"""An export over 256 MiB is something else."""


@dataclass(frozen=True, kw_only=True)
class ExportedClip:
    """A clip for annotators."""

    name: str
    path: str
    """Where it lies below the corpus folder, with `/`."""
    video: bool
    emotion: str | None
    """What is thought of it so far."""
    confidence: float | None


@dataclass(frozen=True, kw_only=True)
class ImportedReview:
    """An annotator's answer."""

    key: str
    """The same annotation read again has the same key, a changed one another."""
    name: str
    annotator: str
    emotions: tuple[str, ...]
    """What was chosen, as it is spelt there; empty: cannot tell."""
    seconds: float | None


def tasks_of(clips: Sequence[ExportedClip], model: str) -> str:
    """Tasks to import into Label Studio, in the order of the clips (JSON text).

    Args:
        clips: the queue.
        model: `NAME version N`, shown beside predictions.
    """
    tasks = []
    for number, clip in enumerate(clips, start=1):
        task: dict[str, Any] = {
            "id": number,
            "data": {"name": clip.name, "clip": f"/data/local-files/?d={clip.path}", "order": number},
        }
        if clip.emotion is not None:
            choice = {
                "from_name": _FROM,
                "to_name": _TO,
                "type": "choices",
                "value": {"choices": [clip.emotion]},
            }
            task["predictions"] = [{"model_version": model, "score": clip.confidence, "result": [choice]}]
        tasks.append(task)
    return json.dumps(tasks, indent=1, ensure_ascii=False)


def labelling_config(emotions: Sequence[str], video: bool) -> str:
    """The project's labelling interface (XML): the clip, and a choice by keys 1 to 9."""
    player = "Video" if video else "Audio"
    choices = "\n".join(
        f"    <Choice value={quoteattr(emotion)}" + (f' hotkey="{number}"' if number <= 9 else "") + "/>"
        for number, emotion in enumerate((*emotions, CANNOT_TELL), start=1)
    )
    return (
        f'<View>\n  <{player} name="{_TO}" value="$clip"/>\n  <Choices name="{_FROM}" toName="{_TO}" choice="multiple">\n'
        f"{choices}\n  </Choices>\n</View>\n"
    )


def read_export(file: Path) -> list[ImportedReview]:
    """Answers of an export, JSON or JSON-MIN, in its order; cancelled ones and tasks without an answer are passed over.

    Raises:
        CorpusError: the file is no such export; says which task is not.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise CorpusError(
                f"{file} has {file.stat().st_size} bytes: an export of Label Studio was expected"
            )
        tasks = json.loads(file.read_text(encoding="utf-8-sig"))
    except UNREADABLE as error:
        raise CorpusError(
            f"{file}: expected an export of Label Studio as JSON, found something else: {error}"
        ) from error
    if not isinstance(tasks, list):
        raise CorpusError(
            f"{file}: expected a list of tasks (export JSON or JSON-MIN), found {type(tasks).__name__}"
        )
    found: list[ImportedReview] = []
    for number, task in enumerate(tasks, start=1):
        try:
            found += _answers(task)
        except UNREADABLE as error:
            raise CorpusError(
                f"{file}, task {number}: expected `data.name` and `annotations` with choices `{_FROM}`, found {task!r:.80} "
                f"({type(error).__name__}: {error})"
            ) from error
    return found


def _answers(task: Mapping[str, Any]) -> list[ImportedReview]:
    if "annotations" not in task:  # JSON-MIN: fields of data beside the answers
        if _FROM not in task:
            return []
        chosen = task[_FROM]
        emotions = chosen["choices"] if isinstance(chosen, Mapping) else [chosen]
        number = task.get("annotation_id", task.get("id"))
        return [_review(task, emotions, str(task["name"]), number, task.get("annotator"))]
    name, found = str(task["data"]["name"]), []
    for annotation in task["annotations"]:
        if annotation.get("was_cancelled") or not annotation.get("result"):
            continue
        chosen = [
            emotion
            for item in annotation["result"]
            if item.get("from_name") == _FROM
            for emotion in item["value"]["choices"]
        ]
        number = annotation.get("unique_id") or f"{task.get('id')}/{annotation.get('id')}"
        found.append(_review(annotation, chosen, name, number, annotation.get("completed_by")))
    return found


def _review(
    said: Mapping[str, Any], chosen: Sequence[str], name: str, number: Any, who: Any
) -> ImportedReview:
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id")
    emotions = tuple(sorted({str(emotion) for emotion in chosen} - {CANNOT_TELL}))
    seconds = said.get("lead_time")
    return ImportedReview(
        key=f"label-studio/{number}/{'+'.join(emotions)}"[:200],
        name=name,
        annotator=str(who)
        if isinstance(who, str) and who
        else f"label-studio {'' if who is None else who}".strip(),
        emotions=emotions,
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
    )
