"""The review page in a real browser, by keyboard alone: 50 pseudo-labels, a kill in the middle, two people at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import browser, require_browser
from review_home import CORPUS, add_pseudo_labels, catalogue_sounds, register_version

from infra.catalogue import Catalogue, Decision
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.slow
PATIENCE = 60.0
COUNT = 50


class Server:
    """The service as a process of its own."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        script = Path(__file__).with_name("review_server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def page(self, reviewer: str) -> str:
        return f"http://127.0.0.1:{self.port}/#/review?reviewer={reviewer}"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    require_browser()
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    catalogue_sounds(workspace(), tmp_path / "sounds", labelled=8, unlabelled=COUNT)
    register_version(workspace(), generations=[add_pseudo_labels(workspace(), COUNT)])
    started = Server()
    yield started
    started.kill()


def wait_for(what: Callable[[], Any], said: str) -> Any:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if found := what():
                return found
        except Exception:
            pass  # an element that was drawn anew
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE} s: {said}")


def clip_of(driver: Any) -> str:
    return str(driver.execute_script("return document.querySelector('.clip-name')?.textContent ?? ''"))


def finished(driver: Any) -> bool:
    return "Every clip of this order is reviewed" in driver.execute_script("return document.body.textContent")


def press(driver: Any, keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(keys).perform()


def complete(driver: Any, keys: str) -> None:
    """Press keys, and wait for the next clip or the end."""
    before = clip_of(driver)
    press(driver, keys)
    wait_for(lambda: clip_of(driver) != before or finished(driver), f"the clip after {before}")


def kill_browser(profile: Path) -> None:
    """End every process of the browser with this profile at once."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"--user-data-dir={profile}" in (folder / "cmdline").read_text(errors="replace"):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue  # it has ended


def decisions(catalogue: Catalogue) -> list[tuple[str, str]]:
    return [(row.name, row.decision.value) for row in catalogue.reviews(CORPUS)]


@pytest.mark.nightly
def test_fifty_pseudo_labels_killed_in_the_middle(server: Server, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    catalogue = workspace().catalogue
    profile = tmp_path / "profile"
    with browser(profile) as driver:
        driver.get(server.page("ann"))
        wait_for(lambda: clip_of(driver), "the first clip")
        assert "pseudo-label" in driver.find_element("id", "opinion").text
        for number in range(15):
            complete(driver, (Keys.ENTER, "3" + Keys.ENTER, "0")[number % 3])
        sent = clip_of(driver)
        server.kill()
        press(driver, "4" + Keys.ENTER)  # the service is gone: the decision waits in the browser
        wait_for(
            lambda: "does not answer" in driver.find_element("css selector", ".message.bad").text,
            "the message",
        )
        assert len(decisions(catalogue)) == 15
        server.start()
        press(driver, Keys.ENTER)  # on the button that has the focus
        wait_for(lambda: clip_of(driver) not in ("", sent), "the clip after the one that was on its way")
        assert decisions(catalogue)[-1] == (sent, "correct") and len(decisions(catalogue)) == 16, (
            "not lost, not twice"
        )
        while len(decisions(catalogue)) < 25:
            complete(driver, Keys.ENTER)
        left = clip_of(driver)
        press(driver, "2")  # chosen, not completed
        kill_browser(profile)
        server.kill()
    server.start()
    with browser(profile) as driver:
        driver.get(server.page("ann"))
        wait_for(lambda: clip_of(driver), "a clip")
        assert clip_of(driver) == left, "the session goes on where it was"
        assert driver.find_element("id", "reviewed").text == f"25 of {COUNT}"
        while not finished(driver):
            complete(driver, Keys.ENTER)
    rows = catalogue.reviews(CORPUS)
    assert len(rows) == COUNT and len({row.name for row in rows}) == COUNT, "none lost, none twice"
    assert {row.shown["source"] for row in rows} == {"pseudo"}
    assert all(row.seconds is not None and row.annotator == "ann" for row in rows)


@pytest.mark.nightly
def test_two_people_at_once_never_get_the_same_clip(server: Server, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    seen: dict[str, list[str]] = {"ann": [], "ben": []}
    failures: list[BaseException] = []

    def work(who: str) -> None:
        try:
            with browser(tmp_path / who) as driver:
                driver.get(server.page(who))
                wait_for(lambda: clip_of(driver) or finished(driver), "the first clip")
                while not finished(driver) and len(seen[who]) < COUNT:
                    seen[who].append(clip_of(driver))
                    press(driver, "2" + Keys.ENTER)
                    wait_for(lambda: clip_of(driver) != seen[who][-1], "the next clip")
                    if "others have them" in driver.execute_script("return document.body.textContent"):
                        return
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert not set(seen["ann"]) & set(seen["ben"]) and seen["ann"] and seen["ben"]
    rows = workspace().catalogue.reviews(CORPUS)
    assert sorted(row.name for row in rows) == sorted(seen["ann"] + seen["ben"])
    assert {row.annotator for row in rows} == {"ann", "ben"} and len(rows) == COUNT


def test_every_key(server: Server, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    catalogue = workspace().catalogue
    with browser(tmp_path / "profile") as driver:
        driver.get(f"http://127.0.0.1:{server.port}/#/review")
        wait_for(lambda: driver.find_element("id", "reviewer"), "the form")
        press(driver, "dora 1?u" + Keys.ENTER)  # what is typed is typed: no key does anything there
        wait_for(lambda: clip_of(driver), "the first clip")
        assert driver.find_element("id", "reviewer").get_attribute("value") == "dora 1?u"
        wait_for(
            lambda: driver.execute_script("return document.getElementById('player').currentTime > 0"),
            "that it plays",
        )
        press(driver, "?")
        assert driver.find_element("id", "keys").get_attribute("open") is not None
        press(driver, Keys.ARROW_DOWN + Keys.ARROW_DOWN)
        assert driver.switch_to.active_element.get_attribute("data-emotion") == "happy"
        first = clip_of(driver)
        complete(driver, Keys.ENTER)
        complete(driver, "s4------" + Keys.ENTER)
        press(driver, "u")
        wait_for(lambda: catalogue.reviews(CORPUS)[-1].decision is Decision.UNDO, "that it is taken back")
        rows = catalogue.reviews(CORPUS)
        assert [(row.decision, dict(row.weights)) for row in rows] == [
            ("correct", {"happy": 1.0}), ("several", {"neutral": 1.0, "sad": 0.4}), ("undo", {}),
        ]  # fmt: skip
        assert rows[0].name == first
        wait_for(lambda: clip_of(driver) == rows[1].name, "what was taken back is asked again")
        assert rows[0].annotator == "dora 1?u"
        for entry in driver.get_log("browser"):
            assert entry["level"] != "SEVERE", entry
        assert any(f":{server.port}/api/media" in address for address in requested(driver))
        assert [
            address
            for address in requested(driver)
            if not address.startswith(f"http://127.0.0.1:{server.port}/")
        ] == []


def requested(driver: Any) -> list[str]:
    """Addresses that the page asked for; the browser's own pages are `chrome:` and the like."""
    log = driver.requests = [
        *getattr(driver, "requests", []),
        *driver.get_log("performance"),
    ]  # each look empties it
    messages = [json.loads(entry["message"])["message"] for entry in log]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return [address for address in asked if not address.startswith(("chrome:", "chrome-untrusted:", "data:"))]


@pytest.mark.parametrize(
    ("width", "dark"),
    [
        (1280, False),
        pytest.param(400, False, marks=pytest.mark.nightly),
        pytest.param(1280, True, marks=pytest.mark.nightly),
        (400, True),
    ],
)
def test_it_fits(server: Server, tmp_path: Path, width: int, dark: bool) -> None:
    with browser(tmp_path / "profile", width, 900, dark) as driver:
        driver.get(server.page("ann"))
        wait_for(lambda: clip_of(driver), "the first clip")
        overflow = driver.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        driver.save_screenshot(str(tmp_path / f"review-{width}-{'dark' if dark else 'light'}.png"))
        assert overflow <= 0
