"""The review queue over HTTP: whose turn which clip is, and what was decided. The page is `static/pages/review.js`.

A session is a name and nothing more: who comes back under it gets the clip that they had before them. Every decision has a key
that the page made, so a request that is sent again is one decision.
"""

from __future__ import annotations

import threading
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from flows.service.part import Page, Part
from flows.service.problems import Refused, described
from flows.service.state import Service
from infra.catalogue import ClaimRow, Decision, ModelVersionRow, ReviewFacts, ReviewRow
from infra.errors import ReviewRefused
from mer.review.orders import Order
from tasks.review.progress import review_progress
from tasks.review.queue import QueueItem, ReviewQueue, review_queue
from tasks.serve.library import answering_version, model_named

CLAIM_SECONDS = 120.0
"""How long a clip is kept for who has it before them; the page renews that while it is open."""
_QUEUE_SECONDS = 30.0
"""For how long an order is kept: claims and decisions are looked at anew each time."""

Reviewer = Annotated[str, Field(min_length=1, max_length=200, description="Who reviews.")]
ModelName = Annotated[str, Field(max_length=200, description="Empty: the model promoted last.")]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Opinion(_Body):
    """What is thought of a clip so far."""

    emotion: str | None = Field(description="To accept or correct; null: no model has been asked.")
    source: str = Field(description="`pseudo` (learnt pseudo-label), `gold` (the owner's label) or `model`.")
    confidence: float | None = Field(description="Calibrated probability of `emotion`.")
    probabilities: dict[str, float] = Field(
        description="Calibrated, of models that have not learnt the label in question."
    )
    likely_wrong: bool = Field(description="Whether confident learning takes the owner's label for wrong.")


class Turn(_Body):
    """A clip that is the reviewer's for a while."""

    name: str
    content: str = Field(description="sha256 of what is shown: a decision is about it.")
    token: str = Field(description="Goes along with the decision.")
    seconds_left: float = Field(description="Until somebody else may get the clip; `renew` begins it anew.")
    has_audio: bool
    has_video: bool
    transcript: str | None
    opinion: Opinion


class ReviewState(_Body):
    """Where a reviewer stands."""

    model: str
    version: int
    corpus: str
    emotions: tuple[str, ...] = Field(description="Classes in the order of the keys 1 to 9.")
    order: Order
    waiting: int = Field(ge=0, description="Clips that nobody has decided on, the one shown among them.")
    reviewed: int = Field(ge=0, description="Clips of the order that were decided on.")
    mine: int = Field(ge=0, description="Standing decisions of this reviewer.")
    others: dict[str, int] = Field(description="Standing decisions of the others, by name.")
    turn: Turn | None = Field(description="Null: nothing waits that others have not before them.")


class Asking(_Body):
    """Who asks for a clip, and of which queue."""

    reviewer: Reviewer
    model: ModelName = ""
    order: Order = Order.UNCERTAINTY
    reviewers: int = Field(
        default=1, ge=1, le=20, description="Different people that every clip is shown to."
    )


class Deciding(Asking):
    """A decision."""

    key: str = Field(
        min_length=8, max_length=100, description="Made by who sends it; the same decision has the same key."
    )
    name: str = Field(max_length=1000)
    content: str = Field(max_length=64)
    token: str = Field(max_length=64)
    decision: Decision
    weights: dict[str, float] = Field(
        default_factory=dict, max_length=100, description="Emotion -> weight; empty for cannot_tell."
    )
    seconds: float | None = Field(
        default=None, ge=0, le=1e6, description="From showing the clip to the decision."
    )


class Undoing(Asking):
    """The last decision is taken back."""

    key: str = Field(min_length=8, max_length=100)


class Releasing(_Body):
    """A clip is given back undecided."""

    token: str = Field(max_length=64)


class Told(_Body):
    """A decision as it is kept."""

    name: str
    reviewer: str
    decision: Decision
    weights: dict[str, float]
    at: str


class ReviewHistory(_Body):
    """Decisions that stand, newest first."""

    decisions: tuple[Told, ...]


class _Queues:
    """Orders by version, kept for a moment: they read posteriors, which do not change, and a corpus, which does."""

    def __init__(self, service: Service) -> None:
        self._service, self._lock = service, threading.Lock()
        self._kept: dict[tuple[str, int, Order], tuple[float, ReviewQueue]] = {}

    def version(self, model: str) -> ModelVersionRow:
        space = self._service.space
        return answering_version(space, model_named(space, model)).row

    def of(self, asked: Asking) -> ReviewQueue:
        row = self.version(asked.model)
        key = row.name, row.version, asked.order
        with self._lock:
            made, queue = self._kept.get(key, (0.0, None))
            if queue is None or time.monotonic() - made > _QUEUE_SECONDS:
                queue = review_queue(self._service.space, row, asked.order)
                self._kept = {
                    **{k: v for k, v in self._kept.items() if k[:2] == key[:2]},
                    key: (time.monotonic(), queue),
                }
        return queue

    def forget(self) -> None:
        """After a clip came back into a queue."""
        with self._lock:
            self._kept = {}


def router(service: Service) -> APIRouter:
    """Routes of the queue; which clips there are is decided by the order, whose turn it is by the catalogue."""
    routes = APIRouter(prefix="/api/review", tags=["review"], responses=described(404, 409, 422, 503))
    queues = _Queues(service)

    @routes.post(
        "/next", summary="The clip that is this reviewer's turn: the one they had before, or the next one"
    )
    def following(asking: Asking) -> ReviewState:
        return _state(service, queues, asking)

    @routes.post("/decide", summary="Write a decision, and get the next clip")
    def decide(deciding: Deciding) -> ReviewState:
        queue = queues.of(deciding)
        item = next((item for item in queue.items if item.name == deciding.name), None)
        shown: dict[str, Any] = {"model": queue.model, "version": queue.version, "order": queue.order.value}
        facts = ReviewFacts(
            key=deciding.key,
            corpus=queue.corpus,
            name=deciding.name,
            content=deciding.content,
            annotator=deciding.reviewer.strip(),
            decision=deciding.decision,
            weights=deciding.weights,
            shown=shown | (item.shown if item is not None else {}),
            seconds=deciding.seconds,
        )
        _written(lambda: service.space.catalogue.add_review(facts, deciding.token))
        return _state(service, queues, deciding)

    @routes.post("/undo", summary="Take back this reviewer's last decision, and get that clip again")
    def undo(undoing: Undoing) -> ReviewState:
        queue = queues.of(undoing)
        _written(
            lambda: service.space.catalogue.undo_review(
                queue.corpus, undoing.reviewer.strip(), undoing.key, CLAIM_SECONDS
            )
        )
        queues.forget()
        return _state(service, queues, undoing)

    @routes.post("/release", summary="Give a clip back undecided", status_code=204)
    def release(releasing: Releasing) -> None:
        service.space.catalogue.release_review(releasing.token)

    @routes.get("/history", summary="Standing decisions on a corpus, newest first")
    def history(
        corpus: Annotated[str, Query(min_length=1, max_length=200)],
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> ReviewHistory:
        rows = service.space.catalogue.standing_reviews(corpus)
        return ReviewHistory(decisions=tuple(_told(row) for row in rows[::-1][:limit]))

    return routes


def _written(write: Any) -> None:
    try:
        write()
    except ReviewRefused as error:
        raise Refused(409, "review_refused", str(error)) from error


def _state(service: Service, queues: _Queues, asking: Asking) -> ReviewState:
    """The reviewer's turn, after whatever was decided just now."""
    queue, who = queues.of(asking), asking.reviewer.strip()
    if not who or not who.isprintable():
        raise Refused(422, "no_name", "expected the name of who reviews, found blanks; give one")
    catalogue = service.space.catalogue
    claim = catalogue.claim_review(queue.corpus, queue.names, who, CLAIM_SECONDS, asking.reviewers)
    progress = review_progress(service.space, queue.corpus)
    names = set(queue.names)
    done = len({row.name for row in catalogue.standing_reviews(queue.corpus)} & names)
    item = None if claim is None else next(item for item in queue.items if item.name == claim.name)
    counts = {name: own.decisions for name, own in progress.by_annotator.items()}
    return ReviewState(
        model=queue.model,
        version=queue.version,
        corpus=queue.corpus,
        emotions=queue.emotions,
        order=queue.order,
        waiting=len(names) - done,
        reviewed=queue.asked - len(names) + done,
        mine=counts.pop(who, 0),
        others=counts,
        turn=None if claim is None or item is None else _turn(claim, item),
    )


def _turn(claim: ClaimRow, item: QueueItem) -> Turn:
    return Turn(
        name=item.name,
        content=item.content,
        token=claim.token,
        seconds_left=CLAIM_SECONDS,
        has_audio=item.has_audio,
        has_video=item.has_video,
        transcript=item.transcript,
        opinion=Opinion(
            emotion=item.emotion,
            source=item.source,
            confidence=item.confidence,
            probabilities=dict(item.probabilities),
            likely_wrong=item.likely_wrong,
        ),
    )


def _told(row: ReviewRow) -> Told:
    return Told(
        name=row.name,
        reviewer=row.annotator,
        decision=row.decision,
        weights=dict(row.weights),
        at=row.created_at.isoformat(),
    )


PART = Part(name="review", router=router, page=Page("review", "Review"))
