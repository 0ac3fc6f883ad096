"""How shards share task runs: in a small corpus each has its own, in a large one a run takes a span of consecutive shards.

Prefect records 30 to 40 task runs a second at 20 KB each, so their number is bounded. A shard remains what is committed,
registered and found again. Spans become smaller toward the end (guided self-scheduling, Polychronopoulos and Kuck 1987):
workers, however many there are and however fast, take one after another, and the last ones that they wait for are short.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TypeVar

from tasks.stage.references import ShardPlan, SpanPlan

SMALL_CORPUS = 5_000
"""Clips up to which each shard is a task run: what is done shows shard by shard, and a kill or an error tells more."""
RUNS_PER_THOUSAND = 2
"""Task runs for each 1,000 clips begun, at most."""
SPAN_CLIPS = 1_000
"""Clips of the largest spans, at most, unless a shard alone is larger."""
MOST_SHARING = 16
"""Workers among which the end is shared evenly, where the bound on runs leaves room for it."""

Item = TypeVar("Item")


def span_sizes(shards: int, clips: int, corpus_clips: int) -> list[int]:
    """Shards of each task run.

    Args:
        shards: to share out, all of about one size.
        clips: in these shards.
        corpus_clips: in the whole corpus, which decides whether it is small.

    Returns:
        sizes that add up to `shards`: 1 each, or at most `RUNS_PER_THOUSAND` for each 1,000 clips begun.
    """
    if corpus_clips <= SMALL_CORPUS or shards == 0:
        return [1] * shards
    most_runs = RUNS_PER_THOUSAND * ceil(clips / 1_000)
    largest = max(1, SPAN_CLIPS * shards // max(clips, 1))
    for sharing in range(MOST_SHARING, 0, -1):
        sizes = _guided(shards, largest, sharing)
        if len(sizes) <= most_runs:
            return sizes
    return _even(shards, most_runs)


def spans_of(shards: Sequence[Sequence[Item]], corpus_clips: int) -> list[tuple[Item, ...]]:
    """Items of consecutive shards in one sequence for each task run, for tasks that keep what is done as they go."""
    sizes = span_sizes(len(shards), sum(map(len, shards)), corpus_clips)
    return [tuple(item for shard in group for item in shard) for group in _groups(shards, sizes)]


def extraction_spans(shards: Sequence[ShardPlan], corpus_clips: int) -> list[SpanPlan]:
    """Consecutive shards of the same features, by task run."""
    spans = []
    for features in dict.fromkeys(shard.features for shard in shards):
        alike = [shard.clip_ids for shard in shards if shard.features == features]
        sizes = span_sizes(len(alike), sum(map(len, alike)), corpus_clips)
        spans += [SpanPlan(features, tuple(group)) for group in _groups(alike, sizes)]
    return spans


def _groups(items: Sequence[Item], sizes: Sequence[int]) -> list[Sequence[Item]]:
    groups, start = [], 0
    for size in sizes:
        groups.append(items[start : start + size])
        start += size
    return groups


def _guided(shards: int, largest: int, sharing: int) -> list[int]:
    """Each run takes half of what one of `sharing` workers would get of the rest, at most `largest`."""
    sizes = []
    while shards > 0:
        sizes.append(min(largest, ceil(shards / (2 * sharing))))
        shards -= sizes[-1]
    return sizes


def _even(shards: int, runs: int) -> list[int]:
    return [shards // runs + (number < shards % runs) for number in range(min(runs, shards))]
