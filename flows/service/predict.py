"""Answers for clips: one file, several, features in place of media; and what each modality says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Depends, File, Form, Query, UploadFile

from flows.service.explained_clip import ExplainedClip, explained_clip
from flows.service.flag_words import in_words
from flows.service.given_features import FeatureClips, predict_given
from flows.service.part import Page, Part
from flows.service.predictions import EXAMPLE, Predictions
from flows.service.problems import Refused, described
from flows.service.state import Service
from flows.service.uploading import stored
from mer.clips import Clip
from mer.conformal.policy import AnswerPolicy
from mer.predictions import Prediction
from tasks.serve.answer_queue import QueueFull, Work
from tasks.serve.predicted_media import Medium, UnusableMedia
from tasks.serve.served_model import ServedModel
from tasks.serve.sound_stretches import sound_stretches
from tasks.serve.time_course import time_course
from tasks.serve.uploads import clip_of_upload

Answer = TypeVar("Answer")
REFUSALS = (408, 413, 422, 429, 503, 504)
Transcript = Annotated[
    str | None,
    Form(
        max_length=10_000,
        description="What is spoken in the clip; left out: what is known of it, else the recogniser listens.",
    ),
]


NoAnswerOn = Annotated[
    list[Annotated[str, Query(max_length=100)]],
    Query(max_length=50, description="Flags whose clips get no answer (`out_of_domain`, `no_speech` ...)."),
]


def asked_policy(
    coverage: Annotated[
        float | None,
        Query(
            ge=0.5,
            le=0.999,
            description="Share of new speakers' clips whose true class is to be in `prediction_set`.",
        ),
    ] = None,
    abstain_above_risk: Annotated[
        float | None,
        Query(
            gt=0,
            lt=1,
            description="Share of answers that may be wrong: clips that are too unsure have status `abstained`.",
        ),
    ] = None,
    no_answer_on: NoAnswerOn = [],  # noqa: B006 (FastAPI copies it)
) -> AnswerPolicy:
    """What a request asks of answers; where it asks nothing, the version's recipe says."""
    return AnswerPolicy(
        coverage=coverage, abstain_above_risk=abstain_above_risk, no_answer_on=tuple(no_answer_on)
    )


Policy = Annotated[AnswerPolicy, Depends(asked_policy)]


def router(service: Service) -> APIRouter:
    """Routes below `/api/predict`. A file that cannot be read has a prediction too: its `status` is the reason."""
    routes = APIRouter(prefix="/api/predict", tags=["predict"], responses=described(*REFUSALS))
    asked = Asked(service)
    example: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": EXAMPLE}}}}

    @routes.post("", summary="One clip", responses=example)
    async def predict(
        file: Annotated[UploadFile, File(description="Media file: sound, video, or both.")],
        policy: Policy,
        transcript: Transcript = None,
    ) -> Prediction:
        return (await asked.predict([file], [transcript], policy))[0]

    @routes.post("/batch", summary="Several clips")
    async def predict_batch(
        files: Annotated[
            list[UploadFile], File(min_length=1, description="Media files; the answers come in their order.")
        ],
        policy: Policy,
    ) -> Predictions:
        return Predictions(predictions=tuple(await asked.predict(files, [None] * len(files), policy)))

    @routes.post("/features", summary="Features instead of media")
    async def predict_features(clips: FeatureClips, policy: Policy) -> Predictions:
        asked.check_count(len(clips.clips))
        answers = await asked.work(
            lambda model: tuple(model.under_policy(one, policy) for one in predict_given(model, clips)),
            len(clips.clips),
        )
        return Predictions(predictions=answers)

    @routes.post("/explain", summary="One clip, and what each modality says of it")
    async def explain(
        file: Annotated[UploadFile, File(description="Media file: sound, video, or both.")],
        policy: Policy,
        transcript: Transcript = None,
    ) -> ExplainedClip:
        return await asked.explain(file, transcript, policy)

    return routes


class Asked:
    """Requests for answers, between HTTP and the queue."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def predict(
        self, files: list[UploadFile], transcripts: Sequence[str | None], policy: AnswerPolicy
    ) -> list[Prediction]:
        """A prediction for each file, in their order."""
        self.check_count(len(files))
        self.check_room(len(files))
        async with self._media(files, transcripts) as media:
            clips = [medium for medium in media if isinstance(medium[1], Clip)]
            futures = self.queued([clip for _, clip in clips if isinstance(clip, Clip)], policy)
            together: asyncio.Future[list[Prediction]] = asyncio.gather(*map(asyncio.wrap_future, futures))
            predicted: list[Prediction] = await self.waited(together, futures)
            answers = iter(predicted)
            return [
                self._unusable(medium)
                if isinstance(medium, UnusableMedia)
                else _as_sent(next(answers), shown, medium)
                for shown, medium in media
            ]

    async def explain(self, file: UploadFile, transcript: str | None, policy: AnswerPolicy) -> ExplainedClip:
        """The prediction for a file with what each modality says."""
        self.check_room(1)
        async with self._media([file], [transcript]) as media:
            shown, medium = media[0]
            if isinstance(medium, UnusableMedia):
                unusable = self._unusable(medium)
                return ExplainedClip(prediction=unusable, words=in_words(unusable))
            return await self.explain_clip(medium, shown, policy)

    async def explain_clip(self, clip: Clip, shown: str, policy: AnswerPolicy | None = None) -> ExplainedClip:
        """The same for a clip that lies somewhere."""
        asked = policy or AnswerPolicy()

        def explained(model: ServedModel) -> tuple[Any, ...]:
            prediction, shares = model.explain([clip])[0]
            limited = model.under_policy(prediction, asked)
            return (limited, shares), sound_stretches(model, clip), time_course(model, clip)

        (prediction, shares), stretches, course = await self.work(explained, 1)
        signed = _as_sent(prediction, shown, clip)
        return await to_thread.run_sync(explained_clip, clip, signed, shares, stretches, course)

    async def work(self, work: Work, clips: int) -> Any:
        """What `work` makes of the version that answers."""
        try:
            future = self._service.queue.submit_work(work, self._service.limits.answer_seconds, clips)
        except QueueFull as full:
            raise self._full(full) from full
        return await self.waited(asyncio.wrap_future(future), [future])

    def queued(self, clips: Sequence[Clip], policy: AnswerPolicy | None = None) -> list[Future[Prediction]]:
        """Futures of the clips' predictions. Raises Refused (429)."""
        try:
            return self._service.queue.submit(clips, self._service.limits.answer_seconds, policy)
        except QueueFull as full:
            raise self._full(full) from full

    async def waited(self, answer: asyncio.Future[Answer], futures: Sequence[Future[Any]]) -> Answer:
        """The answer, in time. Raises Refused (504)."""
        seconds = self._service.limits.answer_seconds
        try:
            return await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            for future in futures:
                future.cancel()
            raise Refused(
                504,
                "timed_out",
                f"expected an answer within {seconds:g} s, found none: send it again, or a shorter clip",
                2,
            ) from None

    def check_count(self, count: int) -> None:
        """Raises Refused (413): more clips than one request may have."""
        most = self._service.limits.request_clips
        if count > most:
            raise Refused(
                413,
                "too_many_clips",
                f"expected at most {most} clips in a request, found {count}: send several",
            )

    def check_room(self, count: int) -> None:
        """Raises Refused (429) before a file is looked at, or NoModelYet."""
        queue = self._service.queue
        if queue.clips + count > queue.capacity:
            raise self._full(QueueFull(queue.clips, queue.capacity))

    @asynccontextmanager
    async def _media(
        self, files: list[UploadFile], transcripts: Sequence[str | None]
    ) -> AsyncIterator[list[tuple[str, Medium]]]:
        """What each file is called by its sender, and the clip it holds; the files are gone afterwards."""
        began = time.monotonic()
        context = stored(files)
        written = await to_thread.run_sync(context.__enter__)
        try:
            looked = (
                to_thread.run_sync(self._clip, path, shown, text)
                for (shown, path), text in zip(written, transcripts, strict=True)
            )
            media = await asyncio.wait_for(asyncio.gather(*looked), self._service.limits.answer_seconds)
            yield [(shown, medium) for (shown, _), medium in zip(written, media, strict=True)]
        except TimeoutError:
            waited = time.monotonic() - began
            raise Refused(
                504, "timed_out", f"the clips were not read within {waited:.0f} s: send fewer", 2
            ) from None
        finally:
            await to_thread.run_sync(context.__exit__, None, None, None)

    def _clip(self, path: Path, shown: str, transcript: str | None) -> Medium:
        return clip_of_upload(self._service.space, path, shown, transcript, self._service.limits.clip_seconds)

    def _full(self, full: QueueFull) -> Refused:
        return Refused(429, "queue_full", str(full), self._service.retry_seconds)

    def _unusable(self, medium: UnusableMedia) -> Prediction:
        model = self._service.model
        self._service.metrics.clip(medium.reason.value)
        return Prediction(
            name=medium.name,
            path=str(medium.path),
            status=medium.reason,
            model=model.name,
            version=model.version,
        )


def _as_sent(prediction: Prediction, shown: str, clip: Clip) -> Prediction:
    """Under the name that the sender knows; where the file lay here is nobody's matter."""
    return prediction.model_copy(update={"name": clip.name, "path": shown})


PART = Part(name="predict", router=router, page=Page("clip", "Clip"))
