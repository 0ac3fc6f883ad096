"""Elements of SVG as text that cannot be broken out of, axes, and the marks and colours that tell series apart.

Colours follow Okabe and Ito 2008 ("Color universal design", known; some darker on white, for contrast), which people with any
common colour blindness tell apart; marks and dashes differ too, so that nothing rests on colour. The style sheet holds them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH = 380.0
"""Units of a drawing's width: about as many pixels on a telephone."""
DASHES = ("", "6 3", "2 2", "8 3 2 3", "1 3", "10 4", "4 2 1 2", "12 2")
_MARKS = (
    "M-3.2,0a3.2,3.2 0 1,0 6.4,0a3.2,3.2 0 1,0 -6.4,0",
    "M-2.9,-2.9h5.8v5.8h-5.8z",
    "M0,-3.8L3.6,2.8H-3.6z",
    "M0,-4.2L4.2,0L0,4.2L-4.2,0z",
    "M0,3.8L3.6,-2.8H-3.6z",
    "M-1.2,-3.6h2.4v2.4h2.4v2.4h-2.4v2.4h-2.4v-2.4h-2.4v-2.4h2.4z",
    "M-3.4,-1.8L-1.8,-3.4L0,-1.6L1.8,-3.4L3.4,-1.8L1.6,0L3.4,1.8L1.8,3.4L0,1.6L-1.8,3.4L-3.4,1.8L-1.6,0z",
    "M-4,-1.6h8v3.2h-8z",
)
COLOURS = len(_MARKS)


def element(tag: str, *children: Markup | str, **attributes: str | float) -> Markup:
    """An element; text and attributes are escaped. `class_` stands for `class`, `_` in names for `-`; numbers get 2 decimals."""
    pairs = Markup("").join(
        Markup(' {}="{}"').format(Markup(name.rstrip("_").replace("_", "-")), _value(value))
        for name, value in attributes.items()
    )
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), pairs, inner)


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def words(x: float, y: float, text: str, anchor: str = "start", **attributes: str | float) -> Markup:
    """A text at a place."""
    return element("text", text, x=x, y=y, text_anchor=anchor, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def mark(number: int, x: float, y: float, *children: Markup) -> Markup:
    """The mark of a series or class at a place."""
    place = f"translate({x:.1f},{y:.1f})"
    return element(
        "path", *children, d=_MARKS[number % COLOURS], transform=place, class_=f"m c{number % COLOURS}"
    )


def path(points: Sequence[tuple[float, float]], number: int) -> Markup:
    """A line of a series through points."""
    steps = " ".join(f"{'L' if at else 'M'}{x:.1f},{y:.1f}" for at, (x, y) in enumerate(points))
    return element(
        "path", d=steps, class_=f"l c{number % COLOURS}", stroke_dasharray=DASHES[number % COLOURS]
    )


def drawing(height: float, title: str, description: str, *children: Markup) -> Markup:
    """A whole drawing, which a reader of screens calls by its title."""
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *children,
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_label=f"{title}. {description}",
    )


def legend(names: Sequence[str], y: float, left: float = 4.0) -> tuple[list[Markup], float]:
    """Marks beside names, in lines that fit; and the height that they take."""
    drawn: list[Markup] = []
    x, top = left, y
    for number, name in enumerate(names):
        text = shortened(name, 30)
        width = 16 + 5.6 * len(text) + 10
        if x + width > WIDTH and x > left:
            x, top = left, top + 15
        drawn += [mark(number, x + 5, top - 3.5), words(x + 13, top, text)]
        x += width
    return drawn, top - y + 15


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters, the end replaced by a dot triple."""
    return text if len(text) <= most else text[: most - 1] + "…"


def ticks(low: float, high: float, about: int = 5, *, whole: bool = False) -> list[float]:
    """Round numbers from low to high, at least two; `whole`: of steps that are whole numbers."""
    reach = high - low if high > low else 1.0
    raw = reach / max(1, about - 1)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    step = max(1.0, round(step)) if whole else step
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [round(number * step, 10) for number in range(first, last + 1)]


def tick_text(value: float) -> str:
    """The number at an axis."""
    return f"{value:g}"
