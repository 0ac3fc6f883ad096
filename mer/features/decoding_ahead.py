"""Clips decoded in threads ahead of the encoder that takes them: in their order, a bounded number of clips and of bytes.

Nothing here decides a value: which clips are encoded together is settled by their order alone, however fast they are decoded.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass
from itertools import islice
from threading import Condition
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from mer.clips import Clip

MOST_BYTES = 512 << 20
"""What lies ready for the encoder; while it is more, only clips that the encoder waits for are decoded."""
GPU_THREADS, CPU_THREADS = 16, 4
"""At most so many clips are decoded at a time, each by a process of its own."""

Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Bounds:
    """How far decoding may be ahead of the encoder."""

    clips: int
    """Decoded, or being decoded, that the encoder has not taken."""
    threads: int
    bytes: int = MOST_BYTES


def bounds_for(round_clips: int, rounds_ahead: int, *, on_gpu: bool, compute_threads: int) -> Bounds:
    """Bounds for an encoder that takes `round_clips` clips at a time; on a processor it leaves its other cores to decoding.

    Args:
        round_clips: clips that are encoded together.
        rounds_ahead: rounds decoded while one is encoded.
        on_gpu: whether the encoder leaves all cores to decoding.
        compute_threads: of the encoder on a processor.
    """
    cores = _usable_cores()
    threads = min(GPU_THREADS, cores) if on_gpu else min(CPU_THREADS, cores - compute_threads)
    clips = round_clips * rounds_ahead
    return Bounds(clips, max(1, min(threads, clips)))


class DecodingAhead(Generic[Prepared]):
    """What `prepare` makes of each clip, taken in order by one thread. Use as a context: it ends its threads.

    Args:
        prepare: decodes one clip; called in several threads at once.
        clips: read only as far as the bounds allow, by the thread that takes.
        bounds: how far ahead.
    """

    def __init__(self, prepare: Callable[[Clip], Prepared], clips: Iterable[Clip], bounds: Bounds) -> None:
        self._prepare = prepare
        self._clips = iter(clips)
        self._bounds = bounds
        self._pool = ThreadPoolExecutor(bounds.threads, thread_name_prefix="decode")
        self._changed = Condition()
        self._waiting: deque[Future[tuple[Prepared, int]]] = deque()
        self._submitted = 0
        self._due = 0
        """Clips up to this number are waited for by the encoder: they are decoded however much lies ready."""
        self._dropped = 0
        """Clips up to this number are of no use to anybody."""
        self._ready_bytes = 0
        self._closed = False
        self.waited_seconds = 0.0
        """How long the encoder has waited for clips."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def ready_bytes(self) -> int:
        """Bytes of clips that were decoded and not taken."""
        return self._ready_bytes

    def begin(self) -> None:
        """Start to decode."""
        self._submit(self._bounds.clips)

    def take(self, count: int) -> list[Prepared]:
        """What was prepared of the next `count` clips, which there must be; those after them are decoded meanwhile.

        Raises:
            what `prepare` raises, of the first clip that fails.
        """
        self._expect(count)
        began = time.monotonic()
        taken = [self._waiting.popleft().result() for _ in range(count)]
        self.waited_seconds += time.monotonic() - began
        with self._changed:
            self._ready_bytes -= sum(size for _, size in taken)
            self._changed.notify_all()
        self._submit(self._bounds.clips)
        return [prepared for prepared, _ in taken]

    def skip(self, count: int) -> None:
        """Leave the next `count` clips out; those whose decoding has not begun are not decoded."""
        with self._changed:
            self._dropped = self._submitted - len(self._waiting) + count
            self._changed.notify_all()
        submitted = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        for future in submitted:
            if not future.cancel() and future.exception() is None:
                with self._changed:
                    self._ready_bytes -= future.result()[1]
        left = sum(1 for _ in islice(self._clips, count - len(submitted)))
        self._submitted += left
        self._submit(self._bounds.clips)

    def close(self) -> None:
        """Begin no further clip, and wait for those that are being decoded."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _expect(self, count: int) -> None:
        with self._changed:
            self._due = self._submitted - len(self._waiting) + count
            self._changed.notify_all()
        self._submit(count)

    def _submit(self, most: int) -> None:
        """Let clips be decoded until `most` are decoded or under way."""
        for clip in islice(self._clips, max(0, most - len(self._waiting))):
            self._waiting.append(self._pool.submit(self._decoded, clip, self._submitted))
            self._submitted += 1

    def _decoded(self, clip: Clip, number: int) -> tuple[Prepared, int]:
        with self._changed:
            self._changed.wait_for(lambda: self._may_begin(number))
            if self._closed or number < self._dropped:
                raise CancelledError
        prepared = self._prepare(clip)
        size = held_bytes(prepared)
        with self._changed:
            self._ready_bytes += size
        return prepared, size

    def _may_begin(self, number: int) -> bool:
        return (
            self._closed or number < max(self._due, self._dropped) or self._ready_bytes < self._bounds.bytes
        )


def held_bytes(value: Any) -> int:
    """Bytes of the arrays and tensors in a value, in its fields and items."""
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(value, list | tuple):
        return sum(map(held_bytes, value))
    if is_dataclass(value) and not isinstance(value, type):
        return sum(held_bytes(getattr(value, field.name)) for field in fields(value))
    return 0


def _usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
