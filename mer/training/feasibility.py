"""What can be learnt from the labels there are: said in a line before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_CLASS_CLIPS = 2
"""A class with fewer clips cannot be learnt and scored on different clips."""
LEAST_CLIPS = 6
"""Labelled training clips below which folds leave too few to fit anything on (runs with 4 and 5 ended in a layer study)."""

_NAMED = 6
"""Classes that a line names before it stops."""


@dataclass(frozen=True)
class Feasibility:
    """Whether labels allow training, and what to know before it."""

    problem: str | None
    """Why nothing can be trained, and what to do; None: training is possible."""
    remarks: tuple[str, ...] = ()
    """What is too few for a trustworthy model, and what to do, one line each."""


def training_feasibility(
    labels: Sequence[str | None],
    speakers: Sequence[str | None],
    emotions: Sequence[str],
    *,
    least_compared: int,
) -> Feasibility:
    """Judge the training clips of a corpus.

    Args:
        labels: (N,) emotion of every training clip (no holdout, no canary); None: unlabelled.
        speakers: (N,) speaker or None.
        emotions: the classes of the recipe.
        least_compared: clips that the promotion gate needs (`gate.min_clips`).
    """
    counts = Counter(label for label in labels if label is not None)
    labelled = sum(counts.values())
    learnable = [emotion for emotion in emotions if counts[emotion] >= LEAST_CLASS_CLIPS]
    if not labelled:
        return Feasibility(
            f"training needs labels: expected emotions ({', '.join(emotions)}) of at least {LEAST_CLIPS} clips, found none "
            f"among {len(labels)} training clips; label some in a table with the columns name and emotion, or sort them into "
            "one folder per emotion"
        )
    if len(counts) < 2:
        return Feasibility(
            f"training needs at least two emotions, found {labelled} clips of {next(iter(counts))} alone; add labelled clips of "
            "another one"
        )
    listed = ", ".join(f"{emotion} {counts[emotion]}" for emotion in emotions if counts[emotion])
    if labelled < LEAST_CLIPS or len(learnable) < 2:
        return Feasibility(
            f"too few labelled clips to train on: expected at least {LEAST_CLIPS}, and {LEAST_CLASS_CLIPS} each of at least two "
            f"emotions, found {labelled} ({listed}); label more clips"
        )
    remarks = []
    if labelled < least_compared:
        remarks.append(
            f"{labelled} labelled clips are too few for a champion, the gate compares on at least {least_compared}: the model "
            "will be registered, not promoted"
        )
    if rare := [f"{emotion} {counts[emotion]}" for emotion in counts if counts[emotion] < LEAST_CLASS_CLIPS]:
        more = f" and {len(rare) - _NAMED} more" if len(rare) > _NAMED else ""
        remarks.append(
            f"too few clips to learn and to score ({', '.join(rare[:_NAMED])}{more}): label at least {LEAST_CLASS_CLIPS} each"
        )
    if remark := _speakers_remark(labels, speakers):
        remarks.append(remark)
    return Feasibility(None, tuple(remarks))


def _speakers_remark(labels: Sequence[str | None], speakers: Sequence[str | None]) -> str:
    """What is to be known of the folds, which keep speakers apart where they are known."""
    of_labelled = [speaker for label, speaker in zip(labels, speakers, strict=True) if label is not None]
    known = {speaker for speaker in of_labelled if speaker is not None}
    unknown = sum(speaker is None for speaker in of_labelled)
    if not known:
        return (
            "no speaker is known: folds are dealt by clip, and the scores are too good for new speakers; a column speaker "
            "mends that"
        )
    if len(known) == 1 and not unknown:
        return "all clips are of one speaker: folds are dealt by clip, and the scores say nothing of other speakers"
    if unknown:
        return f"{unknown} of {len(of_labelled)} labelled clips have no speaker: each of them counts as one of its own"
    return ""


def fold_problem(fold: Sequence[int], labels: Sequence[str | None]) -> str | None:
    """Why an outer fold leaves nothing to learn from, and what to do; None: every fold leaves two classes.

    Args:
        fold: (N,) outer fold; -1: in none.
        labels: (N,) emotion or None.
    """
    held = [
        (part, label) for part, label in zip(fold, labels, strict=True) if part >= 0 and label is not None
    ]
    for number in sorted({part for part, _ in held}):
        learnt = sorted({label for part, label in held if part != number})
        if len(learnt) < 2:
            return (
                f"folds keep speakers apart, and without those of fold {number} only {', '.join(learnt) or 'no'} clips are left "
                "to learn from: expected every emotion of several speakers; add clips, or correct the speakers"
            )
    return None


def missing_in_folds(
    fold: Sequence[int], labels: Sequence[str | None], emotions: Sequence[str]
) -> tuple[str, ...]:
    """Outer folds without a clip of some class to score, or whose view has none to learn from; a line each.

    Args:
        fold: (N,) outer fold; -1: in none.
        labels: (N,) emotion or None.
        emotions: the classes of the recipe.
    """
    held = [
        (part, label) for part, label in zip(fold, labels, strict=True) if part >= 0 and label is not None
    ]
    present = [emotion for emotion in emotions if any(label == emotion for _, label in held)]
    lines = []
    for number in sorted({part for part, _ in held}):
        scored = {label for part, label in held if part == number}
        learnt = {label for part, label in held if part != number}
        absent = [emotion for emotion in present if emotion not in scored]
        unlearnt = [emotion for emotion in present if emotion not in learnt]
        if absent:
            lines.append(f"fold {number} has no clip of {', '.join(absent)} to score")
        if unlearnt:
            lines.append(
                f"fold {number}: all clips of {', '.join(unlearnt)} are in it, none is left to learn from"
            )
    return tuple(lines)
