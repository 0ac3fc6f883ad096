"""The parts of a protocol: which clips are learnt from and which are tested, fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import CorpusError

Mask = NDArray[np.bool_]
TRAIN_WORDS = frozenset({"train", "training"})
TEST_WORDS = frozenset({"test", "eval", "evaluation", "testing"})


@dataclass(frozen=True)
class ListedClip:
    """A clip as a list names it; empty texts and None: unknown."""

    name: str
    speaker: str = ""
    source: str = ""
    """The recording, film or dialogue that it was cut from."""
    emotion: str = ""
    content: str = ""
    """Hash of its file."""


@dataclass(frozen=True)
class Part:
    """One fold, or the fixed split."""

    title: str
    train: Mask
    """(N,)"""
    test: Mask
    """(N,)"""


def fold_parts(folds: Sequence[int | None], splits: Sequence[str]) -> list[Part]:
    """The parts that folds and splits of N clips make.

    Args:
        folds: in which a clip is tested; None: in none.
        splits: `train`, `test`, or another word for clips that are neither.

    Returns:
        One for each fold (learnt from: the other folds), and one for the split where clips are `test`.

    Raises:
        CorpusError: neither two folds nor test clips.
    """
    fold = np.array([-1 if one is None else one for one in folds], dtype=np.int64)
    is_train = np.array([split in TRAIN_WORDS for split in splits], dtype=np.bool_)
    is_test = np.array([split in TEST_WORDS for split in splits], dtype=np.bool_)
    folded = (fold >= 0) & ~is_test
    parts = [
        Part(f"fold {number}", folded & (fold != number), folded & (fold == number))
        for number in np.unique(fold[folded]).tolist()
    ]
    parts = parts if len(parts) > 1 else []
    if is_test.any() and (is_train | folded).any():
        parts.append(Part("test split", is_train | folded, is_test))
    if not parts:
        raise CorpusError(
            "audit: expected clips of at least two folds, or training and test clips, found neither: give the protocol with "
            "--folds FILE (columns name and fold, or name and split), or let `mer run` deal folds by speaker"
        )
    return parts
