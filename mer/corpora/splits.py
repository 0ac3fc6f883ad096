"""What corpora call their splits."""

from __future__ import annotations

import re

from mer.clips import Split

_SPLITS = {
    "": Split.TRAIN, "train": Split.TRAIN, "training": Split.TRAIN, "trn": Split.TRAIN,
    "val": Split.TRAIN, "dev": Split.TRAIN, "valid": Split.TRAIN, "validation": Split.TRAIN, "devel": Split.TRAIN,
    "development": Split.TRAIN,
    "test": Split.TEST, "testing": Split.TEST, "tst": Split.TEST, "eval": Split.TEST, "evaluation": Split.TEST,
    "unlabelled": Split.UNLABELLED, "unlabeled": Split.UNLABELLED, "unlabel": Split.UNLABELLED,
    "canary": Split.CANARY,
}  # fmt: skip
_VALIDATION = frozenset({"val", "dev", "valid", "validation", "devel", "development"})
_TEST_PART = re.compile(r"test[\s_-]?(\d{1,3})")
"""A named part of the test split: `test1`, `test 2`, `test_3`."""

EXPECTED = "train, val (training data here), test, unlabelled, canary or nothing"
"""For messages."""
ABOUT_VALIDATION = "is training data here: validation speakers are chosen inside the folds"
"""What becomes of a corpus' validation part, which no recipe reads as such."""


def split_of(text: str) -> tuple[Split, str | None] | None:
    """Split and named test part that a cell stands for; None: it stands for none.

    The validation part of a corpus is training data: the cross-validation chooses its validation speakers itself. Clips that must
    not be trained on are those of the test part.
    """
    folded = text.strip().lower()
    if match := _TEST_PART.fullmatch(folded):
        return Split.TEST, f"test{int(match[1])}"
    split = _SPLITS.get(folded)
    return (split, None) if split is not None else None


def is_validation(text: str) -> bool:
    """Whether a cell names the validation part."""
    return text.strip().lower() in _VALIDATION
