"""Clips that wait for the model: a bounded queue, and one thread that answers several of them together.

One thread, since computations of one process take turns anyway; several clips at once, since encoders are read in one pass
and the next clip is decoded meanwhile. What waits longer than its request does is not computed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from infra.settings import Settings
from mer.clips import Clip
from mer.conformal.policy import AnswerPolicy
from mer.errors import MerError
from mer.predictions import Prediction
from tasks.serve.served_model import ServedModel
from tasks.stage.compute import computing

logger = logging.getLogger(__name__)

Work = Callable[[ServedModel], Any]


class QueueFull(MerError):
    """As many clips wait as may; `waiting` says how many."""

    transient = True

    def __init__(self, waiting: int, capacity: int) -> None:
        super().__init__(
            f"expected room for another clip, found {waiting} waiting, the limit is {capacity}: ask again in a moment"
        )
        self.waiting = waiting


class TooLate(MerError):
    """A clip waited longer than its request does; it was not computed."""

    transient = True


class NoModelYet(MerError):
    """Nothing is loaded that could answer; the message says why."""

    transient = True


@dataclass
class _Waiting:
    clip: Clip | None
    """None: `work` is done instead, alone."""
    work: Work | None
    deadline: float
    weight: int = 1
    """Clips that it stands for."""
    policy: AnswerPolicy = field(default_factory=AnswerPolicy)
    """What the request asks of answers; work applies its own."""
    future: Future[Any] = field(default_factory=Future)


class AnswerQueue:
    """Answers clips in their order; safe among threads.

    Args:
        current: gives the version that answers at the moment a batch begins; a batch ends on the version it began with.
        settings: threads of computation.
        capacity: clips that may wait, those being answered included.
        batch_clips: clips that are answered together.
        observed: called with the number of clips and the seconds of each batch.
    """

    def __init__(
        self,
        current: Callable[[], ServedModel],
        settings: Settings,
        *,
        capacity: int = 64,
        batch_clips: int = 8,
        observed: Callable[[int, float], None] | None = None,
    ) -> None:
        self._current, self._settings = current, settings
        self.capacity, self._batch_clips = capacity, batch_clips
        self._observed = observed or (lambda clips, seconds: None)
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._clips = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def clips(self) -> int:
        """How many clips wait or are being answered."""
        return self._clips

    def submit(
        self, clips: Sequence[Clip], seconds: float, policy: AnswerPolicy | None = None
    ) -> list[Future[Prediction]]:
        """A future for each clip's prediction under a policy, all of them or none.

        Raises:
            QueueFull: they would be more than may wait.
        """
        deadline = time.monotonic() + seconds
        asked = policy or AnswerPolicy()
        return self._add([_Waiting(clip, None, deadline, policy=asked) for clip in clips])

    def submit_work(self, work: Work, seconds: float, clips: int = 1) -> Future[Any]:
        """A future for what `work` makes of the version that answers then. Raises QueueFull."""
        return self._add([_Waiting(None, work, time.monotonic() + seconds, clips)])[0]

    def close(self) -> None:
        """End the thread; what waits is not answered."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()
        for item in self._waiting:
            _end(item, NoModelYet("the service is being stopped"))

    def _add(self, items: list[_Waiting]) -> list[Future[Any]]:
        weight = sum(item.weight for item in items)
        with self._changed:
            if self._stopping:
                raise NoModelYet("the service is being stopped")
            if self._clips + weight > self.capacity:
                raise QueueFull(self._clips, self.capacity)
            self._clips += weight
            self._waiting.extend(items)
            self._changed.notify_all()
        return [item.future for item in items]

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            began = time.monotonic()
            weight = sum(item.weight for item in batch)
            try:
                self._answer(batch)
            finally:
                with self._changed:
                    self._clips -= weight
                self._observed(weight, time.monotonic() - began)

    def _next(self) -> list[_Waiting] | None:
        """The next batch: clips in a row, or one piece of work; None: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if self._stopping:
                return None
            batch = [self._waiting.popleft()]
            while (
                batch[0].clip is not None
                and self._waiting
                and self._waiting[0].clip is not None
                and len(batch) < self._batch_clips
            ):
                batch.append(self._waiting.popleft())
            return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        now = time.monotonic()
        for item in batch:
            if item.deadline <= now:
                _end(
                    item,
                    TooLate("expected an answer in time, found that the clip waited too long for its turn"),
                )
        due = [item for item in batch if item.deadline > now and item.future.set_running_or_notify_cancel()]
        if not due:
            return
        try:
            model = self._current()
            with computing(self._settings):
                if due[0].work is not None:
                    due[0].future.set_result(due[0].work(model))
                    return
                answers = model.answer([item.clip for item in due if item.clip is not None])
        except Exception as error:
            self._one_by_one(due, error)
            return
        for item, answer in zip(due, answers, strict=True):
            try:
                item.future.set_result(model.under_policy(answer, item.policy))
            except Exception as error:  # what one request asks for and the version cannot promise
                item.future.set_exception(error)

    def _one_by_one(self, due: list[_Waiting], error: Exception) -> None:
        """What fails in a batch may be one clip's doing: each is asked for by itself, and the others have their answers."""
        if len(due) == 1:
            due[0].future.set_exception(error)
            return
        logger.warning("a batch of %d clips failed, each is answered by itself: %s", len(due), error)
        for item in due:
            try:
                model = self._current()
                with computing(self._settings):
                    assert item.clip is not None
                    item.future.set_result(model.under_policy(model.answer([item.clip])[0], item.policy))
            except Exception as own:
                item.future.set_exception(own)


def _end(item: _Waiting, error: Exception) -> None:
    if item.future.set_running_or_notify_cancel():
        item.future.set_exception(error)
