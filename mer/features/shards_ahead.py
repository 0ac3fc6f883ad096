"""Shards of clips, extracted one after another: while one is encoded or written, clips of the next ones are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from mer.clips import Clip
from mer.features.clip_feature import ClipFeature
from mer.features.extract import features_by_spec
from mer.features.multi import MultiExtractor


class ShardsAhead:
    """Features of several shards, the same as of each by itself. Use as a context: it ends its decoding threads.

    Args:
        extractor: of all shards.
        shards: names of the clips of each.
        clips_of: the clips of a shard by their names; called once for each shard, when its decoding begins.
    """

    def __init__(
        self,
        extractor: MultiExtractor,
        shards: Sequence[Sequence[str]],
        clips_of: Callable[[Sequence[str]], Sequence[Clip]],
    ) -> None:
        self.extractor = extractor
        self._shards = shards
        self._clips_of = clips_of
        self._clips: dict[int, Sequence[Clip]] = {}
        self._next = 0
        self._ahead = extractor.decoding(self._all_clips())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ahead.close()

    @property
    def waited_seconds(self) -> float:
        """How long the encoder has waited for clips."""
        return self._ahead.waited_seconds

    def features(self, number: int) -> tuple[list[ClipFeature], ...]:
        """For each spec the features of a shard, in the order of its clips; shards before it that were not asked for are skipped.

        Raises:
            ValueError: a shard at or after it was asked for before.
        """
        if number < self._next:
            raise ValueError(f"expected shards in their order, found {number} after {self._next - 1}")
        self._ahead.skip(sum(map(len, self._shards[self._next : number])))
        self._next = number + 1
        clips = self._read(number)
        rows = list(self.extractor.extract_decoded(clips, self._ahead))
        self._clips = {later: known for later, known in self._clips.items() if later > number}
        return features_by_spec(self.extractor, clips, rows)

    def _all_clips(self) -> Iterator[Clip]:
        for number in range(len(self._shards)):
            yield from self._read(number)

    def _read(self, number: int) -> Sequence[Clip]:
        if number not in self._clips:
            self._clips[number] = self._clips_of(self._shards[number])
        return self._clips[number]
