"""Task workers as services of the home (`mer worker --background`, `mer up --profile full`): one that dies is started again."""

from __future__ import annotations

import socket
from collections.abc import Collection

from flows.workers.crew import worker_command
from flows.workers.gpus import own_devices, visible_gpus
from flows.workers.pool_choice import PoolChoice
from infra.catalogue import ProcessRole, has_catalogue, open_catalogue
from infra.profile import full_profile
from infra.services import restart_command, start_command, stop
from infra.services.deaths import leader_has_died, leader_number, was_not_stopped, was_started
from infra.settings import Settings

_PREFIX = "task-worker"


def start_task_workers(settings: Settings, pool: PoolChoice, count: int) -> list[str]:
    """See that `count` workers of a pool run; returns the names of all of them. Raises ServiceFailed."""
    names = [f"{_PREFIX}-{pool.value}-{number + 1}" for number in range(count)]
    for name in names:
        start_command(name, worker_command(pool), _environment(settings, name), settings)
    return names


def ensure_task_workers(settings: Settings) -> list[str]:
    """See that the workers of a full home run, as many as it shall have; returns their names. Raises ServiceFailed."""
    profile = full_profile(settings.home)
    if profile is None or settings.task_runner != "workers":
        return []
    gpus = max(1, len(visible_gpus())) if profile.gpu_workers is None else profile.gpu_workers
    cpu = start_task_workers(settings, PoolChoice.CPU, profile.cpu_workers)
    return cpu + start_task_workers(settings, PoolChoice.GPU, gpus)


def stop_surplus(settings: Settings, pool: PoolChoice, count: int) -> list[str]:
    """Stop workers of a pool whose number is above `count`; returns their names. Raises ServiceFailed."""
    numbered = [
        (name, int(name.rpartition("-")[2])) for name in task_workers(settings) if _pool(name) is pool
    ]
    surplus = [name for name, number in numbered if number > count]
    for name in surplus:
        stop(name, settings)
    return surplus


def task_workers(settings: Settings) -> list[str]:
    """Names of those that were started and not stopped, whether or not they live."""
    found = sorted(path.stem for path in settings.services_folder.glob(f"{_PREFIX}-*.json"))
    return [name for name in found if was_started(name, settings)]


def replace_dead(settings: Settings) -> list[str]:
    """Start those again that died, in the place of what is left of their process groups; returns their names.

    Raises:
        CatalogueUnavailable: it could not be noted that they died; all the same they were started again.
    """
    dead = [name for name in task_workers(settings) if leader_has_died(name, settings)]
    replaced = [name for name in dead if was_not_stopped(name, settings)]
    labels = {f"{socket.gethostname()}:{leader_number(name, settings)}" for name in replaced}
    for name in replaced:
        restart_command(name, worker_command(_pool(name)), _environment(settings, name), settings)
    if replaced and has_catalogue(settings):
        _note_dead(settings, labels)
    return replaced


def _note_dead(settings: Settings, labels: Collection[str]) -> None:
    """Let what they ran wait again at once: their hearts, which would say so, may have ended with them."""
    with open_catalogue(settings) as catalogue:
        for row in catalogue.task_processes():
            if row.role is ProcessRole.WORKER and row.label in labels:
                catalogue.end_process(row.id)


def _pool(name: str) -> PoolChoice:
    return PoolChoice(name.split("-")[-2])


def _environment(settings: Settings, name: str) -> dict[str, str]:
    pool = _pool(name)
    gpus = visible_gpus() if pool is PoolChoice.GPU else ()
    devices = own_devices(pool, int(name.rpartition("-")[2]) - 1, gpus)
    return {"MER_HOME": str(settings.home), **devices}
