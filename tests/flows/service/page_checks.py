"""What holds for every page: no console error, no request to elsewhere, nothing too wide, no violation by axe-core."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[3]
PICTURES = os.environ.get("MER_TEST_PICTURES", "")
"""Folder for pictures of the pages, for people; empty: none are taken."""
_AXE = "axe-core/axe.min.js"
_OF_THE_PAGE = ("http", "ws", "ftp")


def axe_script() -> str:
    """axe-core's text (`npm install --no-save axe-core` in the checkout, or in NODE_MODULES); skips the test without."""
    for folder in (Path(os.environ.get("NODE_MODULES", ROOT / "node_modules")), ROOT / "node_modules"):
        if (folder / _AXE).is_file():
            return (folder / _AXE).read_text(encoding="utf-8")
    pytest.skip("axe-core is not installed: npm install --no-save axe-core")


def violations(driver: Any, script: str) -> list[str]:
    """What axe-core objects to on the page as it is now."""
    driver.execute_script(script)
    found = driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, {resultTypes: ['violations']}).then(found => done(found.violations))"
    )
    return [
        f"{item['id']}: {item['help']}: {[node['html'][:120] for node in item['nodes'][:3]]}"
        for item in found
    ]


def console_errors(driver: Any) -> list[str]:
    """Errors and warnings on the console since the last call."""
    return [
        entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]


def requested_hosts(driver: Any) -> set[str]:
    """Hosts that the pages asked for anything since the last call."""
    hosts = set()
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            url = message["params"].get("request", message["params"])["url"]
            if url.startswith(_OF_THE_PAGE):
                hosts.add(urlsplit(url).netloc)
    return hosts


def is_too_wide(driver: Any) -> bool:
    """Whether the page must be moved sideways."""
    return bool(driver.execute_script("return document.scrollingElement.scrollWidth > window.innerWidth + 1"))


def take_picture(driver: Any, name: str) -> None:
    """The whole page as a file, where pictures are wanted."""
    if not PICTURES:
        return
    import base64

    Path(PICTURES).mkdir(parents=True, exist_ok=True)
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
    (Path(PICTURES) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
