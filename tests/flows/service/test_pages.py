"""The pages in a real browser: at 1280 and 400 pixels, light and dark, by keyboard alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import browser, require_browser
from page_checks import axe_script, console_errors, is_too_wide, requested_hosts, take_picture, violations
from served_home import CORPUS, add_corpus
from small_model import register_small

from infra.services.servers import free_port
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.slow
PATIENCE = 240.0
LOOKS = [(1280, False), (1280, True), (400, False), (400, True)]
SHOWN_HOME = os.environ.get("MER_TEST_SHOWN_HOME", "")
"""A home whose pages are looked at by people instead of the made one."""


def wait_for(what: Callable[[], Any], said: str) -> Any:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"expected {said} within {PATIENCE:.0f} s")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require_browser()
    folder = tmp_path_factory.mktemp("pages")
    home = SHOWN_HOME or str(folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MER_HOME", home)
        if not SHOWN_HOME:
            register_small(workspace(), folder / "package")
            add_corpus(workspace(), folder / "corpus")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "flows.service", "--port", str(port)],
        env={**os.environ, "MER_HOME": home},
    )
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        wait_for(ready, "a model that answers")
        yield url
    finally:
        process.terminate()
        process.wait(60)


def text_of(driver: Any, css: str) -> str:
    return str(driver.execute_script(f"return document.querySelector({css!r})?.innerText ?? ''"))


def press(driver: Any, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(driver).send_keys(key).perform()


def focus_by_tab(driver: Any, wanted: str) -> None:
    """Move on by the tabulator until an element that matches has the focus."""
    from selenium.webdriver.common.keys import Keys

    for _ in range(40):
        press(driver, Keys.TAB)
        if driver.execute_script(f"return document.activeElement.matches({wanted!r})"):
            return
    raise AssertionError(f"expected to reach {wanted} by the tabulator")


@pytest.mark.parametrize(("width", "dark"), LOOKS, ids=[f"{w} {'dark' if d else 'light'}" for w, d in LOOKS])
def test_pages_look_right_and_stay_at_home(width: int, dark: bool, address: str, tmp_path: Path) -> None:
    name = f"{width}-{'dark' if dark else 'light'}"
    with browser(tmp_path / "profile", width, 900, dark) as driver:
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        for page, waited in (("clip", "#clip option"), ("models", "td"), ("runs", ".message, td")):
            driver.get(f"{address}/#/{page}")
            driver.refresh()
            wait_for(lambda css=waited: text_of(driver, css), f"something on page {page}")
            assert not is_too_wide(driver), page
            take_picture(driver, f"{page}-{name}")
        first = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (int(first.removeprefix("rgb(").split(",")[0]) < 100) == dark
        assert requested_hosts(driver) == {address.removeprefix("http://")}
        assert console_errors(driver) == []


def test_a_stored_clip_is_asked_about_by_keyboard_alone(address: str, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    with browser(tmp_path / "profile") as driver:
        driver.get(f"{address}/#/clip")
        wait_for(lambda: text_of(driver, "#clip option"), "clips to choose from")
        focus_by_tab(driver, "#clip")
        if not SHOWN_HOME:
            press(driver, "b")
            assert driver.execute_script("return document.activeElement.value") == "b"
        focus_by_tab(driver, "button")
        press(driver, Keys.ENTER)
        wait_for(lambda: text_of(driver, ".headline"), "an answer")
        assert "%" in text_of(driver, ".bars")
        assert text_of(driver, ".modality h3")
        assert driver.execute_script("return document.querySelectorAll('.bars li').length") >= 4
        assert not is_too_wide(driver)
        wait_for(
            lambda: driver.execute_script("return document.querySelector('audio, video').duration > 0"),
            "a player",
        )
        take_picture(driver, "answer-1280")
        assert console_errors(driver) == []


def test_a_file_is_asked_about_and_one_that_is_none(address: str, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from served_home import write_sound

    sound, junk = write_sound(tmp_path / "mine.wav", 1.0), tmp_path / "junk.mp4"
    junk.write_bytes(b"junk" * 100)
    with browser(tmp_path / "profile", 400) as driver:
        driver.get(f"{address}/#/clip")
        wait_for(lambda: text_of(driver, "#clip option"), "clips to choose from")
        driver.find_element(By.ID, "file").send_keys(str(sound))
        wait_for(lambda: text_of(driver, ".headline"), "an answer")
        assert text_of(driver, "#answer h2") == "mine"
        assert driver.execute_script("return document.querySelectorAll('svg.waveform').length") == 1
        driver.find_element(By.ID, "file").send_keys(str(junk))
        wait_for(lambda: "No answer" in text_of(driver, "#answer"), "a refusal")
        assert "no sound and no video" in text_of(driver, "#answer .message.warn")
        assert requested_hosts(driver) == {address.removeprefix("http://")}


def test_history_of_a_model(address: str, tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as driver:
        driver.get(f"{address}/#/models")
        wait_for(lambda: text_of(driver, "td a"), "a model")
        driver.execute_script("document.querySelector('td a').click()")
        wait_for(lambda: "the first" in text_of(driver, "main"), "the audit")
        assert "champion" in text_of(driver, ".tag")
        take_picture(driver, "history-1280")
        assert console_errors(driver) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_violation(dark: bool, address: str, tmp_path: Path) -> None:
    script = axe_script()
    with browser(tmp_path / "profile", dark=dark) as driver:
        place = f"corpus={CORPUS}&clip=a" if not SHOWN_HOME else "x=1"
        for page, waited in (
            (f"clip?{place}", ".headline" if not SHOWN_HOME else "#clip option"),
            ("models", "td"),
            ("runs", ".message, td"),
        ):
            driver.get(f"{address}/#/{page}")
            driver.refresh()
            wait_for(lambda css=waited: text_of(driver, css), f"something on page {page}")
            assert violations(driver, script) == [], page
