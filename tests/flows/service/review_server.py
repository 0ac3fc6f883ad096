"""The service with its review part, as a process that a test can kill: `review_server.py PORT` (0: any) prints its port."""

from __future__ import annotations

import mimetypes
import socket
import sys

import uvicorn
from fastapi import APIRouter
from fastapi.responses import FileResponse

from flows.service import review
from flows.service.app import build_app
from flows.service.part import Part
from flows.service.state import Service
from tasks.stage.workspace import workspace


def media(service: Service) -> APIRouter:
    """A clip's file; stands in for the part that serves them where that is not built in."""
    routes = APIRouter()

    @routes.get("/api/media")
    def file(corpus: str, clip: str) -> FileResponse:
        (row,) = service.space.catalogue.clips(corpus, only=[clip])
        return FileResponse(row.path, media_type=mimetypes.guess_type(row.path.name)[0])

    return routes


def main() -> None:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", int(sys.argv[1])))
    parts = (review.PART, Part(name="media", router=media))
    listening.listen(64)  # before the port is told: who asks at once is answered
    server = uvicorn.Server(uvicorn.Config(build_app(Service(workspace()), parts), log_level="warning"))
    print(listening.getsockname()[1], flush=True)  # noqa: T201
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
