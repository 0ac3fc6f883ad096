"""`mer worker`: processes that run tasks of flows."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flows.workers.pool_choice import PoolChoice


def worker(
    pool: Annotated[
        PoolChoice,
        typer.Option(
            help="Whose tasks it takes: `gpu` those tagged gpu (pool mer-gpu), `cpu` all others (mer-cpu), `all` both."
        ),
    ] = PoolChoice.ALL,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="Workers side by side; one that dies is replaced. Left out: one for each GPU with --pool gpu, else one.",
        ),
    ] = None,
    background: Annotated[
        bool,
        typer.Option(
            "--background",
            help="Run them as services of the home: the supervisor replaces those that die, `mer down` stops them.",
        ),
    ] = False,
    ends_with: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Take tasks of flows that run with MER_TASK_RUNNER=workers, one at a time each.

    With --pool gpu each worker has a GPU of its own (CUDA_VISIBLE_DEVICES); without a GPU it computes on device cpu, and says so.

    It needs what the flows have: the same MER_HOME, or MER_DATABASE_URL and MER_OBJECT_STORE_URL. It needs no Prefect server.

    A worker that ends loses no task: another one runs it again.
    """
    from flows.workers.gpus import own_devices, visible_gpus
    from infra.home import prepare_home
    from infra.settings import load_settings

    settings = load_settings()
    prepare_home(settings.home)
    os.environ["MER_HOME"] = str(settings.home)  # its heartbeat and its decoders take the same one
    gpus = visible_gpus() if pool is PoolChoice.GPU else ()
    number = count or max(1, len(gpus))
    if background:
        from flows.cli.local import servers
        from flows.supervision.task_workers import start_task_workers

        servers()
        for name in start_task_workers(settings, pool, number):
            typer.echo(f"{name} runs in the background: `mer status` shows it, `mer down` stops it")
        return
    if number > 1:
        from flows.workers.crew import run_crew

        run_crew(pool, number, gpus)
        return
    os.environ |= own_devices(pool, 0, gpus)
    os.environ.setdefault("PREFECT_HOME", str(settings.home / "prefect"))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    from flows.workers.crew import end_with, say_whole
    from flows.workers.serve import serve
    from infra.observing import observe

    observe(settings, "worker")

    if ends_with:
        end_with(ends_with)
    serve(say_whole, pool)
