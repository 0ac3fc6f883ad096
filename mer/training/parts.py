"""Parts of a view's labelled speakers, each held out in turn: where validation speakers are too few to compare systems by.

A part takes the place of the view's validation speakers. Its clips, unlabelled ones of its speakers and equal contents are not
learnt from, so models of a part have seen no label of those it is judged by.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mer.examples import Examples
from mer.training.folds import assign_folds
from mer.training.partition import Partition, of_content, of_speakers, speakers_of

ENOUGH_SPEAKERS = 4
"""Validation speakers by which two systems can be compared: with fewer a resample of speakers says little."""
MOST_PARTS = 3
"""Each part trains the compared systems anew."""


def part_count(partition: Partition, examples: Examples) -> int:
    """How many parts there are; 0: the validation speakers are enough, or there is one speaker at most."""
    labelled = partition.train | partition.validation
    known = speakers_of(examples, labelled)
    if len(speakers_of(examples, partition.validation)) >= ENOUGH_SPEAKERS or len(known) < 2:
        return 0
    return min(len(known), MOST_PARTS)


def held_out_part(partition: Partition, examples: Examples, part: int, seed: int) -> Partition:
    """The view with a part of its labelled speakers held out in place of its validation speakers.

    Args:
        partition: the view.
        examples: all clips.
        part: number from 0.
        seed: seed of the parts.
    """
    labelled = partition.train | partition.validation
    rows, count = np.flatnonzero(labelled), part_count(partition, examples)
    seen = examples.subset(rows)
    fold = np.full(len(examples), -1, dtype=np.int64)
    fold[rows] = assign_folds(seen.speaker, seen.clip_ids, seen.emotion, count, seed, seen.content)
    held = fold == part
    train = labelled & ~held & ~of_content(examples, held)
    apart = speakers_of(examples, held) - speakers_of(examples, train)
    unlabelled = partition.unlabelled & ~of_speakers(examples, apart) & ~of_content(examples, held)
    return replace(partition, train=train, validation=held, unlabelled=unlabelled)
