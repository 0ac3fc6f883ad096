"""MLflow behind a gate: a server in front of a real one that a test opens and closes, also in the middle of an answer."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOPS = {"connection", "transfer-encoding", "content-length", "host"}


class Gate:
    """Forwards requests while it is open."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.is_open = True
        self.closes_with: str | None = None
        """The first request whose path ends so is handed on; its answer is lost, and the gate is closed from then on."""
        self.refused = 0
        self.address = ""


@contextmanager
def gate_before(upstream: str) -> Iterator[Gate]:
    """A gate at an address of its own, open at first."""
    gate = Gate(upstream)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(gate))
    user = f"{gate.upstream.netloc.rpartition('@')[0]}@" if gate.upstream.username else ""
    gate.address = f"http://{user}127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()


def _handler(gate: Gate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _forward(self) -> None:
            self.close_connection = True
            if not gate.is_open:
                gate.refused += 1
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
            upstream = http.client.HTTPConnection(str(gate.upstream.hostname), gate.upstream.port, timeout=30)
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if gate.closes_with is not None and self.path.partition("?")[0].endswith(gate.closes_with):
                gate.is_open = False
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOPS:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _forward

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    return Handler
