"""The task runner of `MER_TASK_RUNNER=workers`: a submitted task is a task run here, and its function runs on a worker."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Self

from prefect import Task, tags
from prefect.client.schemas.objects import RunInput
from prefect.context import TagsContext, TaskRunContext
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from flows.workers.device_time import count_task
from flows.workers.messages import Function, function_name, outcome_from_text, parameters_to_text
from flows.workers.pools import CPU, GPU, pool_of
from flows.workers.watch import QueueWatch, process_label

_WORKER = "worker:"
"""How a tag begins that names who ran a task."""


class WorkersTaskRunner(ThreadPoolTaskRunner[Any]):
    """Threads that wait for workers: Prefect sees each task as one of this process, with its state and its error.

    Nothing is stored by Prefect: parameters and outcomes cross the catalogue as JSON (see `flows.workers.messages`).
    """

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__(max_workers=max_workers)
        self._watch: QueueWatch | None = None
        self._own_tags = ExitStack()

    def submit(
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> PrefectConcurrentFuture[Any]:
        """Let a worker run the task; its future gives what it returned."""
        if self._watch is None:
            raise RuntimeError("expected a task runner that was started")
        pool = pool_of(task.tags)
        others = TagsContext.get().current_tags - _tags_of(process_label(), CPU)
        with TagsContext(current_tags=others | {pool}):  # who runs it is not known yet
            delegated = _elsewhere(task, pool, self._watch)
            return super().submit(delegated, parameters, wait_for, dependencies)

    def __enter__(self) -> Self:
        from infra.settings import load_settings
        from tasks.stage.workspace import workspace

        settings = load_settings()
        self._watch = QueueWatch(
            workspace().catalogue, settings.worker_timeout_seconds, settings.catalogue_timeout_seconds
        )
        self._watch.__enter__()
        # tasks that the flow calls itself are run by this process: their task runs say so
        self._own_tags.enter_context(tags(*_tags_of(process_label(), CPU)))
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        """What still waits is withdrawn first: threads that wait for it end with it."""
        self._own_tags.close()
        if self._watch is not None:
            self._watch.__exit__()
            self._watch = None
        super().__exit__(*exception)


def _elsewhere(task: Task[..., Any], pool: str, watch: QueueWatch) -> Task[..., Any]:
    """The same task with a function that lets a worker of a pool run it."""
    function: Function = task.fn

    @functools.wraps(function)
    def run(*arguments: Any, **parameters: Any) -> Any:
        import inspect

        bound = inspect.signature(function).bind(*arguments, **parameters)
        text = parameters_to_text(function, bound.arguments)
        finished = watch.run(function_name(function), text, pool)
        _say_who_runs_it(finished.done.ran_on, pool)
        count_task(finished.done, pool)
        return outcome_from_text(function, finished.outcome)

    delegated = copy.copy(task)
    delegated.fn = run
    return delegated


def _tags_of(worker: str, pool: str) -> set[str]:
    return {f"{_WORKER}{worker}", pool}


def _say_who_runs_it(worker: str, pool: str) -> None:
    """Note who runs a task as tags of its task run, which Prefect records with the run's next state: no request of its own."""
    if (context := TaskRunContext.get()) is not None:
        others = [
            tag for tag in context.task_run.tags if not tag.startswith(_WORKER) and tag not in (CPU, GPU)
        ]
        context.task_run.tags = [*others, *sorted(_tags_of(worker, pool))]
