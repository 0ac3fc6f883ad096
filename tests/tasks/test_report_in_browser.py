"""The report in a real headless browser: nothing on its console, nothing asked of anybody, nothing wider than a telephone."""

from __future__ import annotations

from pathlib import Path

import pytest
from devtools_browser import browser_page, browser_program
from report_version import MadeUp, register_version

from mer.report.page import render
from tasks.report.build import collected, report_data
from tasks.stage.workspace import workspace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_program() is None, reason="no browser: `apt-get install chromium`"),
]
_CONTRAST = """(() => {
  const shade = text => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b }
  const paper = shade(getComputedStyle(document.body).backgroundColor)
  return Math.min(...[...document.querySelectorAll('p, th, td, a, summary, caption, text')].map(one => {
    const style = getComputedStyle(one), ink = shade(one.tagName === 'text' ? style.fill : style.color)
    return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05) }))
})()"""
"""Least contrast of any text with the page (WCAG 2.1)."""


def test_it_is_shown_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    space = workspace()
    row = register_version(space, MadeUp(speaker_prefix="a speaker of a rather long name, number "))
    file = tmp_path / "report.html"
    file.write_text(render(report_data(collected(space, row))), encoding="utf-8")
    program = browser_program()
    assert program is not None
    with browser_page(program) as page:
        for width in (1280, 400):
            for dark in (False, True):
                page.open(file.as_uri(), width=width, dark=dark)
                wider = page.value(
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                assert wider == 0, f"scrolls sideways at {width}"
                assert page.value(_CONTRAST) >= 4.5
                background = page.value("getComputedStyle(document.body).backgroundColor")
                assert (background == "rgb(255, 255, 255)") is not dark
        page.open(file.as_uri(), dark=True, media="print")
        assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.value("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert set(page.requests) == {file.as_uri()}
        assert page.errors == []
