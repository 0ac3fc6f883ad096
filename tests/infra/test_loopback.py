"""No server on this machine is asked through a proxy."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.loopback import without_proxy
from infra.services.process import inherited_environment
from infra.services.servers import free_port

CLOSED = "http://127.0.0.1:9"


@pytest.fixture
def server() -> Iterator[str]:
    """A server on this machine."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"there")

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


CLIENTS = {
    "urllib": "import urllib.request; print(urllib.request.urlopen(url, timeout=5).read())",
    "requests": "import requests; print(requests.get(url, timeout=5).content)",
    "httpx": "import httpx; print(httpx.get(url, timeout=5).content)",
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "proxy",
    [
        {"http_proxy": CLOSED},
        {"HTTP_PROXY": CLOSED},
        {"ALL_PROXY": CLOSED},
        {"all_proxy": "socks5://127.0.0.1:9"},
        {"http_proxy": CLOSED, "no_proxy": "elsewhere.example"},
        {"http_proxy": CLOSED, "NO_PROXY": "elsewhere.example"},
    ],
    ids=lambda proxy: "-".join(proxy),
)
def test_clients_ask_this_machine_directly(client: str, proxy: dict[str, str], server: str) -> None:
    code = (
        "import sys\nfrom infra.loopback import ask_loopback_directly\nask_loopback_directly()\n"
        f"url = sys.argv[1]\n{CLIENTS[client]}"
    )
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", code, server],
        env={**clean, **proxy, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "b'there'", done.stderr[-500:]


def test_hosts_that_were_exempt_stay_exempt_and_others_use_the_proxy() -> None:
    changed = without_proxy({"https_proxy": CLOSED, "NO_PROXY": "a.example, .b", "PATH": "/bin"})
    assert changed["no_proxy"] == changed["NO_PROXY"] == "a.example,.b,localhost,127.0.0.1,::1"
    assert (changed["https_proxy"], changed["PATH"]) == (CLOSED, "/bin")
    assert without_proxy(changed) == changed
    assert without_proxy({"PATH": "/bin"}) == {"PATH": "/bin"}
    assert without_proxy({"http_proxy": CLOSED, "no_proxy": "*"})["no_proxy"] == "*"


def test_servers_that_we_start_do_not_ask_each_other_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", CLOSED)
    assert "127.0.0.1" in inherited_environment()["no_proxy"]
