"""A proxy that asks for a password in front of a server that knows nothing of it, as administrators put one there."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

_REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextlib.contextmanager
def password_proxy(server: str, user: str, password: str, passed_on: str | None = None) -> Iterator[int]:
    """Port of a proxy before `server` (http://HOST:PORT) that lets USER:PASSWORD in, requests and websockets alike.

    `passed_on`: USER:PASSWORD that the server itself asks for.
    """
    parts = urlsplit(server)
    expected = _header(f"{user}:{password}")
    upstream = b"" if passed_on is None else _header(passed_on) + b"\r\n"
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = _head(client)
            if expected.lower() not in head.lower():
                client.sendall(_REFUSED)
                return
            first, _, rest = head.partition(b"\r\n")
            rest = re.sub(rb"(?im)^(authorization|host):[^\r]*\r\n", b"", rest)
            rest = b"Host: " + parts.netloc.encode() + b"\r\n" + rest
            if not re.search(
                rb"(?im)^upgrade:", rest
            ):  # a connection each: only its first request is looked at
                rest = b"Connection: close\r\n" + re.sub(rb"(?im)^connection:[^\r]*\r\n", b"", rest)
            with socket.create_connection((str(parts.hostname), parts.port or 80)) as there:
                there.sendall(first + b"\r\n" + upstream + rest)
                back = threading.Thread(target=_pump, args=(there, client), daemon=True)
                back.start()
                _pump(client, there)
                back.join()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _header(credentials: str) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(credentials.encode())


def _head(client: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        if not (more := client.recv(65536)):
            raise ConnectionError
        head += more
    return head


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
