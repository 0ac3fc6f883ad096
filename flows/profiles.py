"""What `mer up` makes of a home: a plain one is what it is, a new one becomes a full one where that is asked for."""

from __future__ import annotations

from dataclasses import replace

from flows.supervision.task_workers import stop_surplus
from flows.workers.pool_choice import PoolChoice
from infra.errors import SettingsError
from infra.home import prepare_home
from infra.profile import FullProfile, full_profile
from infra.services.stores import make_full
from infra.settings import load_settings


def choose_profile(full: bool, cpu_workers: int | None, gpu_workers: int | None) -> None:
    """Make the home a full one where asked for, or change how many workers a full one has.

    Raises:
        HomeUnusable: the home keeps data in files, which would be out of sight.
        SettingsError: workers of a home that has none.
        ServiceFailed: a server did not start.
    """
    settings = load_settings()
    prepare_home(settings.home)
    known = full_profile(settings.home)
    if known is None and not full:
        if cpu_workers is not None or gpu_workers is not None:
            raise SettingsError(
                f"home {settings.home}: expected profile full for --cpu-workers and --gpu-workers, found a plain home; start "
                "workers of a plain home by `mer worker --pool cpu|gpu --count N --background`"
            )
        return
    wanted = known or FullProfile()
    if cpu_workers is not None:
        wanted = replace(wanted, cpu_workers=cpu_workers)
    if gpu_workers is not None:
        wanted = replace(wanted, gpu_workers=gpu_workers)
    if wanted != known:
        make_full(settings, wanted)
    for pool, count in ((PoolChoice.CPU, cpu_workers), (PoolChoice.GPU, gpu_workers)):
        if count is not None:
            stop_surplus(settings, pool, count)
