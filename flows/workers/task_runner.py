"""The task runner of `MER_TASK_RUNNER=workers`: a submitted task is a task run here, and its function runs on a worker."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable
from typing import Any, Self

from prefect import Task
from prefect.client.schemas.objects import RunInput
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from flows.workers.messages import Function, function_name, outcome_from_text, parameters_to_text
from flows.workers.watch import QueueWatch


class WorkersTaskRunner(ThreadPoolTaskRunner[Any]):
    """Threads that wait for workers: Prefect sees each task as one of this process, with its state and its error.

    Nothing is stored by Prefect: parameters and outcomes cross the catalogue as JSON (see `flows.workers.messages`).
    """

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__(max_workers=max_workers)
        self._watch: QueueWatch | None = None

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
        return super().submit(_elsewhere(task, self._watch), parameters, wait_for, dependencies)

    def __enter__(self) -> Self:
        from infra.settings import load_settings
        from tasks.stage.workspace import workspace

        settings = load_settings()
        self._watch = QueueWatch(
            workspace().catalogue, settings.worker_timeout_seconds, settings.catalogue_timeout_seconds
        )
        self._watch.__enter__()
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        """What still waits is withdrawn first: threads that wait for it end with it."""
        if self._watch is not None:
            self._watch.__exit__()
            self._watch = None
        super().__exit__(*exception)


def _elsewhere(task: Task[..., Any], watch: QueueWatch) -> Task[..., Any]:
    """The same task with a function that lets a worker run it."""
    function: Function = task.fn

    @functools.wraps(function)
    def run(*arguments: Any, **parameters: Any) -> Any:
        import inspect

        bound = inspect.signature(function).bind(*arguments, **parameters)
        text = parameters_to_text(function, bound.arguments)
        return outcome_from_text(function, watch.run(function_name(function), text))

    delegated = copy.copy(task)
    delegated.fn = run
    return delegated
