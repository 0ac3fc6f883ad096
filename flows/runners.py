"""Where a flow's tasks run: threads, processes, Prefect task workers, or a Dask or Ray cluster, by one setting.

Tasks take references and return references, and what they compute does not depend on where: results are the same bytes.
Threads take turns to compute (`tasks.stage.compute`); processes and clusters compute side by side, one task each.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages
from typing import Any

from prefect import Task
from prefect.task_runners import PrefectTaskRunner, ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from infra.errors import SettingsError
from infra.settings import Settings, load_settings

_EXTRAS = {"dask": "prefect_dask", "ray": "prefect_ray"}


def configured_task_runner(settings: Settings | None = None) -> TaskRunner[Any]:
    """The task runner that `MER_TASK_RUNNER` names.

    Raises:
        SettingsError: Dask or Ray is asked for and not installed.
    """
    settings = settings or load_settings()
    workers = settings.task_workers
    if settings.task_runner == "threads":
        return ThreadPoolTaskRunner()
    if settings.task_runner == "processes":
        return ProcessPoolTaskRunner(max_workers=workers)
    if settings.task_runner == "workers":
        return PrefectTaskRunner()  # type: ignore[no-untyped-call]
    package = _EXTRAS[settings.task_runner]
    if find_spec(package) is None:
        raise SettingsError(
            f"MER_TASK_RUNNER={settings.task_runner}: expected the package {package}, found none; "
            f"install the extra: pip install 'mer-pipeline[{settings.task_runner}]'"
        )
    runner: TaskRunner[Any]
    if settings.task_runner == "dask":
        from prefect_dask import DaskTaskRunner

        local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        where = {"address": settings.task_cluster} if settings.task_cluster else {"cluster_kwargs": local}
        runner = DaskTaskRunner(**where)
    else:
        from prefect_ray import RayTaskRunner

        local = {"num_cpus": workers, "include_dashboard": False}
        where = {"address": settings.task_cluster} if settings.task_cluster else {"init_kwargs": local}
        runner = RayTaskRunner(**where)
    return runner


def all_tasks() -> list[Task[..., Any]]:
    """Every task of the pipeline, as a task worker serves them."""
    import tasks

    modules = [import_module(module.name) for module in walk_packages(tasks.__path__, "tasks.")]
    named = {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Task) and value.fn.__module__ == module.__name__
    }
    return [named[name] for name in sorted(named)]
