"""What is wrong with a protocol, by its lists alone: shared speakers, recordings and contents, classes that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.audit.parts import ListedClip, Part

SHOWN = 5
"""Examples that are kept of each finding."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one part."""

    kind: str
    """`speaker`, `source`, `content`, `near_content`, `class_not_trained`, `class_not_tested`, `listed_twice`."""
    part: str
    test_clips: int
    """Test clips that are concerned."""
    of: int
    """Test clips of the part."""
    examples: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for people."""
        said = _SAID[self.kind]
        shown = ", ".join(self.examples)
        if self.kind.startswith("class"):
            return f"{self.part}: {said}: {shown}"
        return f"{self.part}: {said}: {self.test_clips} of {self.of} test clips ({shown})"


_SAID = {
    "speaker": "speakers are heard in training as well",
    "source": "recordings are cut for training as well",
    "content": "the same file is learnt from",
    "near_content": "the same sound is learnt from",
    "class_not_trained": "classes are tested that nothing is learnt of",
    "class_not_tested": "classes are learnt that are not tested",
    "listed_twice": "clips are learnt from and tested",
}


def shared(values: Sequence[str], part: Part, kind: str) -> list[Finding]:
    """Test clips whose value a training clip has too; empty values are unknown and equal to none.

    Args:
        values: (N,) of the clips.
        part: of the same clips.
        kind: of the finding.
    """
    _, codes = np.unique(np.array(values, dtype=np.str_), return_inverse=True)
    known = np.array([bool(value) for value in values], dtype=np.bool_)
    common = np.intersect1d(codes[part.train & known], codes[part.test & known])
    concerned = part.test & known & np.isin(codes, common)
    if not concerned.any():
        return []
    names = tuple(dict.fromkeys(values[row] for row in np.flatnonzero(concerned).tolist()))
    return [Finding(kind, part.title, int(concerned.sum()), int(part.test.sum()), _examples(names))]


def related(pairs: NDArray[np.int64], names: Sequence[str], part: Part, kind: str) -> list[Finding]:
    """Test clips that are one of a pair with a training clip.

    Args:
        pairs: (P, 2) rows of clips that are nearly equal.
        names: (N,) of the clips.
        part: of the same clips.
        kind: of the finding.
    """
    if not len(pairs):
        return []
    both = np.concatenate([pairs, pairs[:, ::-1]])
    crossing = both[part.test[both[:, 0]] & part.train[both[:, 1]]]
    concerned = np.unique(crossing[:, 0])
    if not len(concerned):
        return []
    told = tuple(f"{names[test]} = {names[train]}" for test, train in crossing.tolist())
    return [Finding(kind, part.title, len(concerned), int(part.test.sum()), _examples(told))]


def missing_classes(emotions: Sequence[str], part: Part) -> list[Finding]:
    """Classes of one side that the other side lacks."""
    labels = np.array(emotions, dtype=np.str_)
    learnt = set(labels[part.train].tolist()) - {""}
    tested = set(labels[part.test].tolist()) - {""}
    if not learnt or not tested:
        return []
    total, found = int(part.test.sum()), []
    for kind, classes in (("class_not_trained", tested - learnt), ("class_not_tested", learnt - tested)):
        if classes:
            concerned = int(np.isin(labels[part.test], list(classes)).sum())
            found.append(Finding(kind, part.title, concerned, total, tuple(sorted(classes))))
    return found


def in_both(clips: Sequence[ListedClip], part: Part) -> list[Finding]:
    """Clips that are learnt from and tested in one part."""
    twice = np.flatnonzero(part.train & part.test).tolist()
    if not twice:
        return []
    names = tuple(clips[row].name for row in twice)
    return [Finding("listed_twice", part.title, len(twice), int(part.test.sum()), _examples(names))]


def _examples(names: Sequence[str]) -> tuple[str, ...]:
    more = len(names) - SHOWN
    return (*names[:SHOWN], f"and {more} more") if more > 0 else tuple(names)
