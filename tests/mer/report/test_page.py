"""The page: whatever is named in a report is text on it, every number names its source, and it asks nobody for anything."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_data import every_block, figure

from mer.report.figures import shown
from mer.report.page import render
from mer.report.svg import ticks

VOID = {"meta", "link", "br", "path"}


class Elements(HTMLParser):
    """Elements with their attributes, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID - {"path"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


PLAIN = [tag for tag, _ in Elements(render(every_block("plain"))).elements]
HOSTILE = st.sampled_from(
    [
        "<script>alert(1)</script>", "</style><b>", '" onload="x', "' onload='x", "{{ 7 * 7 }}", "{% raw %}", "-->", "<!--",
        "]]>", "&lt;", "a\x00b",
    ]
)  # fmt: skip
NAMES = st.lists(HOSTILE | st.text(max_size=12), min_size=1, max_size=3).map(
    lambda parts: "n" + "".join(parts)
)


@settings(max_examples=60, deadline=None)
@given(NAMES)
def test_names_are_text_and_nothing_else(name: str) -> None:
    page = Elements(render(every_block(name)))
    assert [tag for tag, _ in page.elements] == PLAIN, (
        "no element is there that is not there with a plain name"
    )
    assert page.open == []
    allowed = {
        name for _, attributes in Elements(render(every_block("plain"))).elements for name in attributes
    }
    assert {name for _, attributes in page.elements for name in attributes} <= allowed
    assert "49" not in "".join(page.texts).replace(name, "") or "49" in name


def test_no_address_is_asked_and_no_script_is_there() -> None:
    page = render(every_block("plain"))
    elements = Elements(page).elements
    assert not {"script", "iframe", "object", "embed", "img", "form", "base"} & {tag for tag, _ in elements}
    for tag, attributes in elements:
        for name in ("src", "href", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:,")) or not value, (tag, value)
    assert not re.search(r"url\(|@import", page) and "default-src 'none'" in page


def test_readers_of_screens_and_keyboards_get_along() -> None:
    page = Elements(render(every_block("plain")))
    assert ("html", {"lang": "en"}) in page.elements
    assert all(attributes.get("aria-label") for tag, attributes in page.elements if tag == "svg")
    scrolling = [attributes for _, attributes in page.elements if attributes.get("class") == "wide"]
    assert scrolling and all(one["tabindex"] == "0" and one["aria-label"] for one in scrolling)
    assert all(attributes.get("scope") for tag, attributes in page.elements if tag == "th")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels == [1, 2, 2]
    named = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(named) == len(set(named))


def test_a_number_that_is_not_known_is_a_dash() -> None:
    page = render(every_block("plain", None))
    assert not re.search(r"\bnan\b", " ".join(Elements(page).texts), re.IGNORECASE)
    assert figure(None).text == "–"


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.618, "score", ".618"),
        (1.0, "score", "1.000"),
        (0.99999, "score", "1.000"),
        (-0.0126, "signed", "-.013"),
        (0.05, "signed", "+.050"),
        (12345, "count", "12\N{NARROW NO-BREAK SPACE}345"),
        (0.1234, "percent", "12.3 %"),
        (0.00012345, "number", "0.0001234"),
        (float("nan"), "score", "–"),
    ],
)
def test_numbers_are_short(value: float, form: str, text: str) -> None:
    assert shown(value, form) == text  # type: ignore[arg-type]


@given(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(1e-6, 1e6, allow_subnormal=False),
    st.integers(2, 9),
    st.booleans(),
)
def test_ticks_surround_what_is_shown(low: float, reach: float, about: int, whole: bool) -> None:
    found = ticks(low, low + reach, about, whole=whole)
    slack = 1e-6 * max(1.0, reach)
    assert len(found) >= 2 and found == sorted(set(found))
    assert found[0] <= low + slack and found[-1] >= low + reach - slack
    assert not whole or all(value == round(value) for value in found)
