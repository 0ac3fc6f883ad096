"""The service with its review part, as a process that a test can kill: `review_server.py PORT` (0: any) prints its port."""

from __future__ import annotations

import socket
import sys

import uvicorn

from flows.service import corpora, review
from flows.service.app import build_app
from flows.service.state import Service
from tasks.stage.workspace import workspace


def main() -> None:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", int(sys.argv[1])))
    parts = (review.PART, corpora.PART)
    listening.listen(64)  # before the port is told: who asks at once is answered
    server = uvicorn.Server(uvicorn.Config(build_app(Service(workspace()), parts), log_level="warning"))
    print(listening.getsockname()[1], flush=True)  # noqa: T201
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
