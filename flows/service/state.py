"""What the routes of the service share: the stores of one home, its limits, and what answers for clips."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from flows.service.limits import ServiceLimits
from flows.service.metrics import ServiceMetrics
from infra.settings import Settings
from tasks.serve.answer_queue import AnswerQueue, NoModelYet
from tasks.serve.champion import ChampionWatch, Readiness
from tasks.serve.served_model import ServedModel
from tasks.stage.workspace import Workspace


@dataclass(frozen=True)
class Answering:
    """A model that follows the catalogue, and the queue before it."""

    champion: ChampionWatch
    queue: AnswerQueue

    def stop(self) -> None:
        """Answer no more."""
        self.champion.stop()
        self.queue.close()


@dataclass(frozen=True)
class Service:
    """One for each application; a route gets it when its router is made."""

    space: Workspace
    """Catalogue, artifacts, tracker; safe among threads."""
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    metrics: ServiceMetrics = field(default_factory=ServiceMetrics)
    answering: Answering | None = None
    """None: nothing answers for clips (a test of other parts)."""

    @property
    def settings(self) -> Settings:
        """Of the home."""
        return self.space.settings

    @property
    def readiness(self) -> Readiness:
        """Whether there is something to answer with."""
        return (
            self.answering.champion.readiness
            if self.answering is not None
            else Readiness(None, "no model is served")
        )

    @property
    def model(self) -> ServedModel:
        """What answers now. Raises NoModelYet."""
        readiness = self.readiness
        if readiness.model is None:
            raise NoModelYet(f"expected a model to answer with, found none: {readiness.remark}")
        return readiness.model

    @property
    def queue(self) -> AnswerQueue:
        """Where clips wait. Raises NoModelYet where there is nothing that they could wait for."""
        if self.answering is None or self.readiness.model is None:
            raise NoModelYet(f"expected a model to answer with, found none: {self.readiness.remark}")
        return self.answering.queue

    @property
    def retry_seconds(self) -> int:
        """When there may be room in the queue again: as long as what waits now takes, by the batches of before."""
        waiting = self.answering.queue.clips if self.answering is not None else 0
        return max(1, min(60, math.ceil(waiting * self.metrics.seconds_per_clip)))


def open_service(
    space: Workspace,
    limits: ServiceLimits | None = None,
    model: str = "",
    version: int | None = None,
    *,
    alone: bool = False,
) -> Service:
    """A service that answers with a model of the catalogue and follows its champion.

    Args:
        space: stores.
        limits: None: the defaults.
        model: registered model; empty: the one that was promoted last.
        version: a fixed version; None: the champion.
        alone: this process does nothing else.
    """
    limits, metrics = limits or ServiceLimits(), ServiceMetrics()

    def changed(served: ServedModel) -> None:
        metrics.serves(served.name, served.version)

    champion = ChampionWatch(space, model, version, changed, alone=alone)

    def current() -> ServedModel:
        if (served := champion.current) is None:
            raise NoModelYet(champion.readiness.remark)
        return served

    queue = AnswerQueue(
        current,
        space.settings,
        capacity=limits.queue_clips,
        batch_clips=limits.batch_clips,
        observed=metrics.batch,
    )
    metrics.watch_queue(lambda: queue.clips)
    return Service(space, limits, metrics, Answering(champion, queue))
