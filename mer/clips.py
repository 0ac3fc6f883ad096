"""What a clip is: the row of a corpus before it is hashed, and the catalogued clip an extractor reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from mer.votes.vote import Vote

if TYPE_CHECKING:
    from mer.quality.corruption import ClipNoise


class Split(StrEnum):
    """Role a corpus gives to a clip. Labels of TEST clips are read by the evaluator only."""

    TRAIN = "train"
    TEST = "test"
    UNLABELLED = "unlabelled"
    CANARY = "canary"
    """True labels that watch over self-training: never trained on, chosen by or scored."""


@dataclass(frozen=True, kw_only=True)
class CorpusEntry:
    """One row of a corpus as its owner wrote it, before probing and hashing."""

    name: str
    """The sample's name, distinct within the corpus (file stem); what submissions and reports show."""
    media: Path
    """Media file (audio or video); of a clip without media, its address in the corpus, where no file lies."""
    precomputed: tuple[Path, ...] = ()
    """Feature files that a clip without media consists of; empty for a clip with media."""
    emotion: str | None = None
    """Gold emotion, already one of the corpus' emotion set; None where unlabelled."""
    valence: float | None = None
    """Gold valence in [-5, 5]; None where missing."""
    speaker: str | None = None
    transcript: str | None = None
    split: Split = Split.TRAIN
    part: str | None = None
    """Named part of the test split (`test1`, `test2`, ...), whose scores stay apart; None: the corpus names none."""
    fold: int | None = None
    """Published cross-validation fold, if the corpus has one."""
    votes: tuple[Vote, ...] = ()
    """What annotators said, where several were asked; `emotion` follows from them."""


@dataclass(frozen=True)
class NoisyMix:
    """The challenge's noise for one clip."""

    noise: ClipNoise
    talkers: tuple[Path, ...]
    """Files of the clips that make up the babble, in the noise's order."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A catalogued clip, as feature extractors see it."""

    name: str
    """The sample; what its corpus calls it."""
    content: str
    """sha256 (hex) of the media file, or of the feature files of a clip without media: what is computed once, and drawn by."""
    path: Path
    """Where the media lies now; of a clip without media, its address in the corpus."""
    corpus_root: Path
    """Root of the corpus it came from (precomputed features lie below it)."""
    transcript: str | None = None
    noise: NoisyMix | None = None
    """What is laid over it; None: the clip as it is."""
