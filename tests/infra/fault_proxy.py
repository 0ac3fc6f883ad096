"""A TCP proxy before a real server, which breaks what passes through it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress


class FaultProxy:
    """TCP proxy before the real S3 server: refuses connections, or cuts answers after some bytes."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.cut_after: int | None = None
        self.cuts_left = 0
        self.delay_seconds = 0.0
        """Before each piece of an answer is handed on: a slow network."""
        self._refuses = False
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self._refuses:
                client.close()
                continue
            self._open.add(client)
            upstream = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pump, args=(client, upstream, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(upstream, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        sent = 0
        try:
            while data := source.recv(65536):
                if (
                    answers
                    and self.cut_after is not None
                    and self.cuts_left
                    and sent + len(data) > self.cut_after
                ):
                    self.cuts_left -= 1
                    break
                if answers and self.delay_seconds:
                    time.sleep(self.delay_seconds)
                sink.sendall(data)
                sent += len(data)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def go_down(self) -> None:
        """Refuse new connections and break those there are."""
        self._refuses = True
        for client in list(self._open):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        self.delay_seconds = 0.0
        """Before each piece of an answer is handed on: a slow network."""
        self._refuses = False

    def close(self) -> None:
        self._server.close()
