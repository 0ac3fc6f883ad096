"""`mer worker`: a process that runs tasks of flows."""

from __future__ import annotations

import os


def worker() -> None:
    """Take tasks of flows that run with MER_TASK_RUNNER=workers, one at a time; start one per core or GPU.

    It needs what the flows have: the same MER_HOME, or MER_DATABASE_URL and MER_OBJECT_STORE_URL. It needs no Prefect server.

    A worker that ends loses no task: another one runs it again.
    """
    from infra.home import prepare_home
    from infra.settings import load_settings

    settings = load_settings()
    prepare_home(settings.home)
    os.environ["MER_HOME"] = str(settings.home)  # its heartbeat and its decoders take the same one
    os.environ.setdefault("PREFECT_HOME", str(settings.home / "prefect"))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    from flows.workers.serve import serve

    serve(lambda line: print(line, flush=True))  # noqa: T201
