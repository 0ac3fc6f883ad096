"""Streams and passes of encoders side by side, for an answer that somebody waits for.

Nothing here decides a value: a processor encodes one clip at a time, each pass by as many threads of torch as its caller has,
whichever thread runs it, and passes share nothing but weights. A GPU takes batches, one after another, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from mer.clips import Clip
from mer.errors import MediaError
from mer.features.clip_feature import ClipFeature, media_warning
from mer.features.clip_media import Inspector
from mer.features.multi import Ahead, MultiExtractor
from mer.features.reader import Reader
from mer.features.spec import FeatureSpec

Value = TypeVar("Value")


class EncoderThreads:
    """Threads for passes of encoders, `count` at a time, and others that read whole streams and wait for those.

    Args:
        count: passes at the same time, >= 1: cores that nothing else needs.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._passes = ThreadPoolExecutor(count, thread_name_prefix="encode")
        self._streams = ThreadPoolExecutor(thread_name_prefix="stream")

    def passes(self, jobs: Sequence[Callable[[], Value]]) -> list[Value]:
        """What jobs give that compute and wait for no other, in their order. Raises what the first that fails raises."""
        return _done(self._passes, jobs)

    def streams(self, jobs: Sequence[Callable[[], Value]]) -> list[Value]:
        """The same of jobs that ask for passes."""
        return _done(self._streams, jobs)


def _done(pool: ThreadPoolExecutor, jobs: Sequence[Callable[[], Value]]) -> list[Value]:
    futures = [pool.submit(_run, job) for job in jobs]
    return [future.result() for future in futures]


def _run(job: Callable[[], Value]) -> Value:
    torch.get_num_threads()  # a thread that is new takes the process' number only when it is asked; oneDNN does not ask
    return job()


class SideBySide(MultiExtractor):
    """A `MultiExtractor` whose passes on a processor run in several threads.

    Args:
        specs: see `MultiExtractor`.
        weights_cache: see `MultiExtractor`.
        threads: where passes run.
        inspector: see `MultiExtractor`.
    """

    def __init__(
        self,
        specs: Sequence[FeatureSpec],
        weights_cache: Path,
        threads: EncoderThreads,
        inspector: Inspector | None,
    ) -> None:
        super().__init__(specs, weights_cache, inspector=inspector)
        self._threads = threads

    def extract_decoded(self, clips: Sequence[Clip], ahead: Ahead) -> Iterator[tuple[ClipFeature, ...]]:
        """See `MultiExtractor.extract_decoded`."""
        if any(placement.on_gpu for placement in self.placements):
            yield from super().extract_decoded(clips, ahead)
            return
        for start in range(0, len(clips), self._threads.count):
            batch = clips[start : start + self._threads.count]
            yield from self._encoded(batch, ahead.take(len(batch)))

    def _encoded(
        self, clips: Sequence[Clip], prepared: Sequence[list[Any]]
    ) -> Iterator[tuple[ClipFeature, ...]]:
        """One feature per spec of each clip; every clip and reader is a pass of its own."""
        passes = [
            partial(_pass, reader, clip, item)
            for clip, items in zip(clips, prepared, strict=True)
            for reader, item in zip(self.readers, items, strict=True)
        ]
        done = iter(self._threads.passes(passes))
        for _ in clips:
            features: dict[int, ClipFeature] = {}
            for spec_numbers in self._spec_numbers:
                features.update(zip(spec_numbers, next(done), strict=True))
            yield tuple(features[number] for number in range(len(self.specs)))


def _pass(reader: Reader, clip: Clip, prepared: Any) -> tuple[ClipFeature, ...]:
    if not isinstance(prepared, MediaError):
        return reader.finish([prepared])[0]
    media_warning(reader.specs[0], clip, prepared)
    absent = reader.absent(str(prepared.reason))
    return tuple(replace(feature, transient=prepared.transient) for feature in absent)
