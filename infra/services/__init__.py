"""Local servers from wheels, in the background: no docker, no system package, nothing listening beyond
loopback.

    start("prefect", settings)   -> http://127.0.0.1:PORT     (its API is below /api)
    start("mlflow", settings)    -> http://127.0.0.1:PORT
    start("s3", settings)        -> s3://mer?endpoint=http://127.0.0.1:PORT     (keys: s3_credentials)
    start("postgres", settings)  -> postgresql://postgres:PASSWORD@127.0.0.1:PORT/postgres
    start("metrics", settings)   -> http://127.0.0.1:PORT     (its page is /metrics)
    start("serve", settings)     -> http://127.0.0.1:PORT     (answers for clips, and the pages of `mer ui`)
    stop_all(settings)

State, logs and data lie below `<home>`. Starting what runs already returns its address. Prefect and MLflow let only the owner of
the home in (`infra.services.home_secrets`, `infra.services.guard`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from infra.errors import ServiceFailed
from infra.home import prepare_home
from infra.services.postgres import postgres_server
from infra.services.process import ServiceProcess, inherited_environment
from infra.services.servers import (
    Server,
    free_port,
    metrics_server,
    mlflow_server,
    prefect_server,
    s3_credentials,
    s3_server,
    serve_server,
)
from infra.settings import Settings, load_settings
from infra.shown_address import shown_address

__all__ = [
    "SERVICES",
    "ServiceStatus",
    "environment_of",
    "is_healthy",
    "restart_command",
    "running_address",
    "s3_credentials",
    "start",
    "start_all",
    "start_command",
    "status",
    "stop",
    "stop_all",
]

_ATTEMPTS = 3
"""A port found free may be taken before the server binds it."""

_PATIENCE_SECONDS = 30.0
"""A running server that is silent for so long is replaced; a busy machine is no reason to do it sooner."""

_SERVERS: Mapping[str, Callable[[Settings, int], Server]] = MappingProxyType(
    {
        "prefect": prefect_server,
        "mlflow": mlflow_server,
        "s3": s3_server,
        "postgres": postgres_server,
        "metrics": metrics_server,
        "serve": serve_server,
    }
)
SERVICES: tuple[str, ...] = tuple(_SERVERS)
STORES = ("postgres", "s3")
"""Services that others keep their data in: started first, stopped last."""
SERVERS = ("prefect", "mlflow")


@dataclass(frozen=True)
class ServiceStatus:
    """A service as it is now."""

    name: str
    address: str | None
    """Without password; None: not running."""
    processes: int
    memory_bytes: int
    """Resident memory of its processes together."""


def start(name: str, settings: Settings | None = None) -> str:
    """Start a local server unless it runs, wait until it is ready, and return its address.

    Raises:
        HomeUnusable: the home cannot be made or written to.
        ServiceFailed: unknown name, early exit or not ready in time; the message ends with its log.
    """
    settings = settings or load_settings()
    process = _process(name, settings)
    prepare_home(settings.home)
    with process.exclusively():
        state = process.state()
        port = state.port if state is not None else None
        if not process.leader_lives():
            process.stop()  # what a first process that was killed left behind
        if state is not None and process.members():
            server = _SERVERS[name](settings, port or 0)
            with suppress(ServiceFailed):  # half dead (a start that was killed): stopped, then started anew
                process.wait_ready(server.ready, _PATIENCE_SECONDS)
                if server.is_guarded(process.environment()):
                    return state.address
                process.stop()  # started before servers asked for a password: started anew, at the same address
        for attempt in range(_ATTEMPTS):
            # The known port again after a failure too: it may have been one of the server's inner ports that was taken.
            server = _SERVERS[name](settings, free_port(port if attempt < _ATTEMPTS - 1 else None))
            process.launch(
                server.command,
                server.environment,
                server.folder,
                address=server.address,
                port=server.port,
                user=server.user,
                stop_signal=server.stop_signal,
            )
            try:
                process.wait_ready(server.ready, server.start_seconds)
            except ServiceFailed:
                if process.members() or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return server.address
    raise ServiceFailed(f"{name} could not be started")


def start_all(names: Sequence[str], settings: Settings | None = None) -> dict[str, str]:
    """Start several at once (each spends its time in imports); returns their addresses by name. Raises ServiceFailed."""
    settings = settings or load_settings()
    with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        return dict(zip(names, pool.map(lambda name: start(name, settings), names), strict=True))


def stop(name: str, settings: Settings | None = None) -> bool:
    """Stop a local server or command; returns whether it ran. Raises ServiceFailed if something of it survives."""
    process = ServiceProcess(name, (settings or load_settings()).services_folder)
    with process.exclusively():
        return process.stop()


def environment_of(name: str, settings: Settings | None = None) -> Mapping[str, str] | None:
    """The environment that a local server or command was started with; None: it does not run."""
    return ServiceProcess(name, (settings or load_settings()).services_folder).environment() or None


def stop_all(settings: Settings | None = None) -> list[str]:
    """Stop every local server of this home; returns the names of those that ran."""
    folder = (settings or load_settings()).services_folder
    known = sorted(path.stem for path in folder.glob("*.json"))

    def stop_one(name: str) -> bool:
        process = ServiceProcess(name, folder)
        with process.exclusively():
            return process.stop()

    stopped: list[str] = []
    # What talks to the servers before the servers themselves.
    commands = [name for name in known if name not in (*SERVERS, *STORES)]
    for group in (commands, [n for n in known if n in SERVERS], [n for n in known if n in STORES]):
        with ThreadPoolExecutor(max_workers=max(1, len(group))) as pool:
            results = list(pool.map(stop_one, group))
        stopped += [name for name, ran in zip(group, results, strict=True) if ran]
    return stopped


def start_command(
    name: str, command: Sequence[str], environment: Mapping[str, str], settings: Settings | None = None
) -> bool:
    """Run a long-lived command (a worker) in the background under `name`; False if it runs already.

    `environment` is added to this process' own. `stop_all` stops it before the servers.
    """
    settings = settings or load_settings()
    process = ServiceProcess(name, settings.services_folder)
    prepare_home(settings.home)
    with process.exclusively():
        if process.members():
            return False
        process.launch(command, {**inherited_environment(), **environment}, settings.home / name)
    return True


def restart_command(
    name: str, command: Sequence[str], environment: Mapping[str, str], settings: Settings
) -> bool:
    """`start_command` for one whose first process has ended: what is left of its group is ended before.

    Returns False if it runs, or was stopped meanwhile.
    """
    process = ServiceProcess(name, settings.services_folder)
    with process.exclusively():
        state = process.state()
        if state is None or not state.mark or process.leader_lives():
            return False
        process.stop()
        process.launch(command, {**inherited_environment(), **environment}, settings.home / name)
    return True


def status(settings: Settings | None = None) -> list[ServiceStatus]:
    """Every known service, running or not."""
    settings = settings or load_settings()
    statuses = []
    for name in SERVICES:
        process = _process(name, settings)
        members = process.members()
        state = process.state()
        memory = sum(member.memory_info().rss for member in members)
        address = shown_address(state.address) if state is not None and members else None
        statuses.append(ServiceStatus(name, address, len(members), memory))
    return statuses


def is_healthy(name: str, settings: Settings | None = None) -> bool:
    """True if a local server that was started answers now."""
    settings = settings or load_settings()
    state = _process(name, settings).state()
    return state is not None and bool(state.mark) and _SERVERS[name](settings, state.port).ready()


def running_address(name: str, settings: Settings) -> str | None:
    """Address of a local server of this home, as it was started; None: it does not run."""
    process = _process(name, settings)
    state = process.state()
    return state.address if state is not None and process.members() else None


def _process(name: str, settings: Settings) -> ServiceProcess:
    if name not in _SERVERS:
        raise ServiceFailed(f"expected a service among {', '.join(SERVICES)}, found {name!r}")
    return ServiceProcess(name, settings.services_folder)
