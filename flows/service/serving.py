"""The service as a process, as `mer serve`, `mer ui` and `mer up` start it."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flows.service.access import guarded, hosts_of, token_of
from flows.service.app import build_app
from flows.service.limits import ServiceLimits
from flows.service.state import open_service
from infra.errors import ServiceFailed
from infra.loopback import HOSTS
from infra.observing import observe
from infra.settings import Settings
from tasks.stage.workspace import workspace

_OBJECTS = 50_000
"""New objects before cycles are looked for while models are loaded."""
_STOP_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How the service is started."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: one that the system chooses."""
    model: str = ""
    """Registered model; empty: the one that was promoted last."""
    version: int | None = None
    hosts: Sequence[str] = ()
    """Further names that it is reached by, NAME or NAME:PORT."""
    limits: ServiceLimits = field(default_factory=ServiceLimits)

    @property
    def is_open(self) -> bool:
        """Whether others than this machine may ask."""
        return self.host not in HOSTS


def serve(
    options: ServeOptions, settings: Settings, announce: Callable[[str], None] = lambda address: None
) -> None:
    """Serve until a signal ends it.

    Args:
        options: where, and what answers.
        settings: of the home.
        announce: called with the address once requests are answered; the model may still be being loaded then.

    Raises:
        ServiceFailed: nobody may listen there.
    """
    listening = _listening(options)
    port = listening.getsockname()[1]
    observe(settings, "serve")
    gc.set_threshold(_OBJECTS, 20, 20)
    space = workspace()
    service = open_service(space, options.limits, options.model, options.version, alone=True)
    app = guarded(
        build_app(service), hosts_of(options.host, port, options.hosts), token_of(settings, options.host)
    )
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
        h11_max_incomplete_event_size=64 << 10,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    threading.Thread(
        target=_announce, args=(server, announce, _address(options.host, port)), daemon=True
    ).start()
    assert service.answering is not None
    service.answering.champion.start()
    try:
        server.run(sockets=[listening])
    finally:
        service.answering.stop()


def _listening(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, options.port))
    except OSError as error:
        listening.close()
        raise ServiceFailed(
            f"expected a free port at {options.host}:{options.port}, found that it cannot be listened on ({error.strerror}): "
            "choose another one, or --port 0 for one that is free"
        ) from error
    os.set_inheritable(listening.fileno(), False)
    return listening


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def _announce(server: object, announce: Callable[[str], None], address: str) -> None:
    while not getattr(server, "started", False):
        if getattr(server, "should_exit", False):
            return
        time.sleep(0.02)
    announce(address)
