"""Where a flow's tasks run: threads, processes, task workers (`mer worker`), or a Dask or Ray cluster, by one setting.

Tasks take references and return references, and what they compute does not depend on where: results are the same bytes.
Threads take turns to compute (`tasks.stage.compute`); processes and clusters compute side by side, one task each.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from flows.workers.task_runner import WorkersTaskRunner
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
        return WorkersTaskRunner()
    package = _EXTRAS[settings.task_runner]
    if find_spec(package) is None:
        raise SettingsError(
            f"MER_TASK_RUNNER={settings.task_runner}: expected the package {package}, found none; "
            f"install the extra: pip install 'mer-pipeline[{settings.task_runner}]'"
        )
    runner: TaskRunner[Any]
    if settings.task_runner == "dask":
        import dask
        from prefect_dask import DaskTaskRunner

        # Dask's profiler asks for the frames of all threads a hundred times a second. In early releases of Python 3.11 that
        # waits for ever where garbage is collected meanwhile and another thread is being started (CPython issue 106883).
        dask.config.set({"distributed.worker.profile.enabled": False})
        local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        where = {"address": settings.task_cluster} if settings.task_cluster else {"cluster_kwargs": local}
        runner = DaskTaskRunner(**where)
    else:
        from prefect_ray import RayTaskRunner

        local = {"num_cpus": workers, "include_dashboard": False}
        where = {"address": settings.task_cluster} if settings.task_cluster else {"init_kwargs": local}
        runner = RayTaskRunner(**where)
    return runner
