"""Parts of a view's labelled speakers: where its validation speakers are too few to compare systems by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mer.examples import Examples
from mer.training.partition import FINAL_VIEW, Partition, partitions
from mer.training.parts import ENOUGH_SPEAKERS, MOST_PARTS, held_out_part, part_count


def clips(speakers: int, each: int = 10, unlabelled: int = 12) -> Examples:
    count = speakers * each
    rows = np.arange(count + unlabelled)
    emotion = np.where(rows < count, rows % 2, -1)
    return Examples(
        tuple(f"c{row}" for row in rows),
        emotion,
        np.full(len(rows), np.nan, np.float32),
        tuple(f"s{row // each}" if row < count else f"s{row % (speakers + 2)}" for row in rows),
        np.where(rows < count, 0, -1),
        np.ones(len(rows), np.float32),
    )


def final(examples: Examples) -> Partition:
    none = np.zeros(len(examples), dtype=bool)
    return partitions(examples, none, validation_share=0.2, seed=3)[FINAL_VIEW]


def test_every_labelled_speaker_is_held_out_once() -> None:
    examples = clips(4)
    whole = final(examples)
    assert part_count(whole, examples) == MOST_PARTS
    parts = [held_out_part(whole, examples, number, seed=3) for number in range(MOST_PARTS)]
    held = np.sum([part.validation for part in parts], axis=0)
    np.testing.assert_array_equal(held, (whole.train | whole.validation).astype(int))
    for part in parts:
        speakers = {examples.speaker[row] for row in np.flatnonzero(part.validation)}
        learnt = np.flatnonzero(part.train | part.unlabelled)
        assert speakers.isdisjoint(examples.speaker[row] for row in learnt), (
            "models of a part have not heard its speakers"
        )
        assert not (part.train & part.validation).any()
        visible = part.visible(examples).emotion
        assert (visible[part.unlabelled] == -1).all()


def test_no_content_is_on_both_sides_of_a_part() -> None:
    examples = clips(4)
    contents = tuple("same" if row in (3, 33) else f"k{row}" for row in range(len(examples)))
    examples = replace(examples, content=contents)
    whole = final(examples)
    for number in range(part_count(whole, examples)):
        part = held_out_part(whole, examples, number, seed=3)
        sides = {examples.content[row] for row in np.flatnonzero(part.train)}
        assert sides.isdisjoint(examples.content[row] for row in np.flatnonzero(part.validation))


def test_enough_validation_speakers_need_no_parts() -> None:
    many = clips(5 * ENOUGH_SPEAKERS)
    assert part_count(final(many), many) == 0
    one = clips(1)
    assert part_count(final(one), one) == 0
