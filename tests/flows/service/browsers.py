"""Headless chromium for tests of the pages, or the reason why there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--mute-audio", "--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage",
)  # fmt: skip


def require_browser() -> None:
    """Skip the test where selenium or Debian's chromium and its driver are absent."""
    pytest.importorskip("selenium", reason="the extra `browser` (selenium) is not installed")
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt-get install chromium chromium-driver)")


@contextmanager
def browser(profile: Path, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Any]:
    """A browser with a profile of its own; ended with the block."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(shutil.which("chromium"))
    scheme = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0") if dark else ()
    for flag in (*FLAGS, *scheme, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        driver.set_window_size(width, height)
        yield driver
    finally:
        with suppress(Exception):  # it may have been killed
            driver.quit()
