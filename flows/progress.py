"""How far a run is: which of how many stages, what was found ready, and how long a stage's parts take yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import copy_context
from queue import Empty, Queue
from threading import Thread
from typing import TypeVar
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import PrefectFuture, as_completed

from flows.terminal import console
from mer.recipes import Recipe
from mer.recipes.studies import studied_streams
from tasks.stage.part_progress import listening
from tasks.stage.run import StageResult

INGEST, FEATURES, FUSION, PSEUDO_LABELS, EVALUATION, REGISTRATION = (
    "ingest", "features", "fusion", "pseudo-labels", "evaluation", "registration",
)  # fmt: skip
TOLD_SECONDS = 20.0
"""Less time left than that is not told."""
QUIET_SECONDS = 60.0
"""After so long without a finished part a line says that one is under way."""
BAR_SECONDS = 5.0
"""Longest time that a run waits for a bar to be drawn."""

Value = TypeVar("Value")

_plan: tuple[str, ...] = ()


def layer_study(stream: str) -> str:
    """Name of the stage that studies a stream's layers."""
    return f"layer study of {stream}"


def adaptation(stream: str) -> str:
    """Name of the stage that adapts a stream's encoder."""
    return f"adaptation of {stream}"


def alignment(stream: str) -> str:
    """Name of the stage that aligns a stream."""
    return f"alignment of {stream}"


def plan_stages(recipe: Recipe, last: str) -> None:
    """Say which stages this run has: those of the recipe, in their order, up to `last` (all before `fusion`, for example)."""
    global _plan
    stages = tuple(_stages(recipe))
    _plan = stages[: stages.index(last) + 1] if last in stages else stages


def forget_stages() -> None:
    """Nothing is planned: the stages of a run are those that it plans itself, not those of one before it in this process."""
    global _plan
    _plan = ()


def replan_stages(recipe: Recipe) -> None:
    """Go on with fewer stages: those of a recipe that has lost some streams."""
    global _plan
    left = set(_stages(recipe))
    _plan = tuple(stage for stage in _plan if stage in left)


def begin_stage(name: str) -> None:
    """Print the stage that begins now, with its number where it is one of those planned."""
    number = f"[{_plan.index(name) + 1}/{len(_plan)}] " if name in _plan else ""
    console.print(f"[bold]{number.replace('[', chr(92) + '[')}{name}[/]")


class StepProgress:
    """Progress over the parts of a step: a bar in the Prefect UI, a line in the terminal for each part that is computed.

    Parts that were found ready are counted in one line.
    """

    def __init__(
        self, step: str, parts: int, unit: str = "shard", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._step, self._parts, self._unit, self._clock = step, parts, unit, clock
        self._done, self._found, self._computed, self._first_parts = 0, 0, 0, 0
        self._artifact: UUID | None = None
        self._drawing: Thread | None = None
        self._first = 0.0
        """When the first part was computed: what was loaded before it is loaded once."""

    def awaited(self, part: PrefectFuture[Value]) -> Value:
        """Result of the next part; while it is computed, a line now and then says for how long: it is not stuck."""
        began = self._clock()
        while True:
            asked = self._clock()
            part.wait(timeout=QUIET_SECONDS)
            if self._clock() - asked < QUIET_SECONDS:  # it has ended
                return part.result()
            self._tell_under_way(self._clock() - began)

    def as_they_end(self, parts: Sequence[PrefectFuture[Value]]) -> Iterator[PrefectFuture[Value]]:
        """The parts in the order in which they end, lines in between as of `awaited`: a slow one hides no other."""
        queue: Queue[PrefectFuture[Value] | BaseException] = Queue()

        def watch() -> None:
            # Its own time-out is an alarm that goes on while a caller works on what it was given, and ends the run there.
            try:
                for part in as_completed(list(parts)):
                    queue.put(part)
            except BaseException as error:
                queue.put(error)

        Thread(target=copy_context().run, args=(watch,), name=f"parts of {self._step}", daemon=True).start()
        began = self._clock()
        for _ in parts:
            while True:
                try:
                    part = queue.get(timeout=QUIET_SECONDS)
                    break
                except Empty:
                    self._tell_under_way(self._clock() - began)
            if isinstance(part, BaseException):
                raise part
            yield part

    def advance(self, what: str, *, found: bool = False, parts: int = 1) -> None:
        """Count `parts` that finished together; `what` they were, for people. `found`: ready, nothing was computed."""
        self._done += parts
        if found:
            self._found += parts
        else:
            if not self._computed:
                self._first, self._first_parts = self._clock(), parts
            self._computed += parts
            self._show_bar()
            part = f"{self._unit} {self._done}/{self._parts}"
            tell = console.print if self._done == self._parts else console.progress
            tell(f"  [dim]{self._step}[/] {part}: {what}{self._left()}")
        if self._done == self._parts and self._found:
            console.print(f"  [dim]{self._step}[/] found: {self._found} of {self._parts}")

    def _show_bar(self) -> None:
        """Draw the bar, in a thread of its own: whatever happens there or however long it takes, the run goes on.

        A client's call that is cancelled raises no Exception, but what Prefect raises where the *run* is cancelled.
        """
        if self._drawing is not None and self._drawing.is_alive():
            return
        progress = 100.0 * self._done / self._parts
        self._drawing = Thread(target=copy_context().run, args=(self._draw_bar, progress), daemon=True)
        self._drawing.start()
        self._drawing.join(BAR_SECONDS)

    def _draw_bar(self, progress: float) -> None:
        try:
            if self._artifact is None:  # not for what is found: each is a request
                made = create_progress_artifact(progress=progress, key=self._step, description=self._step)
                self._artifact = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._artifact, progress=progress)
        except BaseException as error:
            logging.getLogger(__name__).debug("no bar of %s is drawn: %r", self._step, error)

    def _tell_under_way(self, seconds: float) -> None:
        console.progress(
            f"  [dim]{self._step}[/] {self._unit} {self._done + 1}/{self._parts}: under way for {duration(seconds)}"
        )

    def _left(self) -> str:
        """Time left, if the parts to come take as long as those that were computed."""
        if (later := self._computed - self._first_parts) < 1:
            return ""
        seconds = (self._clock() - self._first) / later * (self._parts - self._done)
        if seconds < TOLD_SECONDS:
            return ""
        return f" (about {duration(seconds)} left)"


def ended_in_turn(
    step: str, parts: Mapping[str, PrefectFuture[Value]], found: Callable[[Value], bool] = lambda value: False
) -> dict[str, Value]:
    """Results of a step's tasks by view; each view is named as soon as its result is there, and fits say how far they are.

    Args:
        step: name of the stage.
        parts: view -> its task.
        found: whether a result was ready, so that nothing was computed.
    """
    progress = StepProgress(step, len(parts), "view")
    views = {id(part): view for view, part in parts.items()}
    with listening(PartProgress(step)):
        for part in progress.as_they_end(list(parts.values())):
            progress.advance(views[id(part)], found=found(part.result()))
    return {view: part.result() for view, part in parts.items()}


def was_found(result: StageResult) -> bool:
    """Nothing was computed for it now."""
    return not result.ran


class PartProgress:
    """Lines for what computes for long: how far it is, and the time left, at most one every `TOLD_SECONDS`.

    Called from the threads that compute, for each with its own name.
    """

    def __init__(self, step: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._step, self._clock = step, clock
        self._began: dict[str, tuple[float, int]] = {}
        self._last = clock()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Count `done` of `total` steps of `what`."""
        now = self._clock()
        began, first = self._began.setdefault(what, (now, done))
        if done >= total or done <= first or now - self._last < TOLD_SECONDS:
            return
        left = (now - began) / (done - first) * (total - done)
        if left < TOLD_SECONDS:
            return
        self._last = now
        console.progress(
            f"  [dim]{self._step}[/] {what}: {100 * done / total:.0f} % (about {duration(left)} left)"
        )


def duration(seconds: float) -> str:
    """A duration for people: seconds below two minutes, minutes below two hours, then hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _stages(recipe: Recipe) -> Iterator[str]:
    yield INGEST
    yield FEATURES
    yield from map(layer_study, studied_streams(recipe))
    yield from map(adaptation, recipe.adapts)
    yield from map(alignment, recipe.anchors)
    yield FUSION
    if recipe.pseudo_labels is not None:
        yield PSEUDO_LABELS
    yield EVALUATION
    yield REGISTRATION
