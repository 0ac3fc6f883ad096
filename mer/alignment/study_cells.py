"""Figures with intervals, and the rows of the table in which a study shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mer.alignment.config import AlignmentStudyConfig

Figures = dict[str, float]

SHUFFLED = {"all": "pairs shuffled", "speaker": "shuffled within speakers"}

_LABEL = 26
"""Columns of what stands before the figures of a row."""


def of_fits(
    name: str,
    values: NDArray[np.float64],
    config: AlignmentStudyConfig,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Figures:
    """Mean over the fits of a control, with the interval of that mean within `bounds` (t), and how many fits there are."""
    from scipy.stats import t

    reach = float(t.ppf(1 - (1 - config.confidence) / 2, len(values) - 1)) * float(
        values.std(ddof=1) / np.sqrt(len(values))
    )
    middle = float(values.mean())
    ends = (max(middle - reach, bounds[0]), min(middle + reach, bounds[1]))
    return {**with_interval(name, middle, ends), f"{name}_fits": len(values)}


def with_interval(name: str, point: float, interval: tuple[float, float]) -> Figures:
    """A figure under its name, its ends under `<name>_low` and `<name>_high`."""
    return {name: point, f"{name}_low": interval[0], f"{name}_high": interval[1]}


def row(label: str, cells: Sequence[str], width: int = 18) -> Iterator[str]:
    """A row of the table; a label that is too long for its column has a line of its own."""
    if len(label) > _LABEL:
        yield label
        label = ""
    yield f"{label:{_LABEL}}" + "".join(f"{cell:>{width}}" for cell in cells)


def range_text(figures: Mapping[str, float], name: str) -> str:
    """The interval of a figure, for people."""
    return f"{figures[f'{name}_low']:.3f} to {figures[f'{name}_high']:.3f}"
