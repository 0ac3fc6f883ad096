"""A real headless browser, driven by its own protocol: pictures, what it asks the network for, what it says on its console.

Debian's chromium is enough; nothing is installed for it.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--hide-scrollbars", "--remote-debugging-port=0", "--no-first-run",
)  # fmt: skip


def browser_program() -> str | None:
    """Path of a browser; None: there is none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name)) is not None), None)


@dataclass
class Page:
    """An open page."""

    socket: Any
    requests: list[str] = field(default_factory=list)
    """Addresses that it asked for, its own among them."""
    errors: list[str] = field(default_factory=list)
    """What it said on its console as an error or a warning, and exceptions."""
    _number: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; what happened meanwhile is noted."""
        self._number += 1
        self.socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=120))
            self._note(message)
            if message.get("id") == self._number:
                assert "error" not in message, message
                answer: dict[str, Any] = message["result"]
                return answer

    def _note(self, message: dict[str, Any]) -> None:
        values = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(values["exceptionDetails"])[:400])
        elif message.get("method") == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.errors.append(values["entry"]["text"])
        elif message.get("method") == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning"):
            self.errors.append(json.dumps(values["args"])[:400])

    def open(self, address: str, *, width: int = 1280, dark: bool = False, media: str = "screen") -> None:
        """Go to an address, shown so wide, and wait until it is there."""
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Page.navigate", url=address)
        while self.value("document.readyState") != "complete":
            time.sleep(0.1)

    def value(self, expression: str) -> Any:
        """What an expression gives; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser_page(program: str) -> Iterator[Page]:
    """A page of a browser of its own, which ends with the block."""
    from websockets.sync.client import connect

    with tempfile.TemporaryDirectory(prefix="mer-browser-") as folder:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = _port(Path(folder))
            with connect(_address(port), max_size=None, open_timeout=60) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.wait(30)
            time.sleep(0.5)  # its children write into the folder until they see that it is gone


def _port(folder: Path, seconds: float = 120.0) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        file = folder / "DevToolsActivePort"
        if file.is_file() and (lines := file.read_text().split()):
            return int(lines[0])
        time.sleep(0.1)
    raise AssertionError(f"the browser opened no port within {seconds:.0f} s")


def _address(port: int) -> str:
    import httpx

    pages = httpx.get(f"http://127.0.0.1:{port}/json/list", timeout=60, trust_env=False).json()
    return str(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"))
