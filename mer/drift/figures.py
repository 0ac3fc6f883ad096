"""Figures of drift as PNG bytes: effects of all tests, distributions that differ most, class priors with intervals.

Blue and orange (Okabe and Ito 2008), solid and dashed, filled and empty: told apart by the colour-blind, and in print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.drift.battery import FAMILIES, Battery
from mer.drift.config import DriftConfig
from mer.drift.measured import MeasuredClips
from mer.evaluation.figures import INK, SOFT, canvas, png

OLD, NEW = "#0072b2", "#d55e00"
_MARKS = dict(zip(FAMILIES, ("o", "s", "^", "D"), strict=True))
_PANELS = 6


def effects_figure(battery: Battery, config: DriftConfig, title: str = "") -> bytes:
    """Effect of every test by family; those that alarm are filled and orange, the dashed line is the least effect of an alarm."""
    alarms = set(battery.alarms(config))
    tests = sorted(battery.tests, key=lambda one: (FAMILIES.index(one.family), -one.effect))
    figure, axes = canvas(7.2, min(14.0, 1.4 + 0.19 * len(tests)))
    for row, one in enumerate(tests):
        colour = NEW if one in alarms else OLD
        axes.plot([0, one.effect], [row, row], color=SOFT, linewidth=0.8, zorder=1)
        axes.plot(
            one.effect, row, marker=_MARKS[one.family], markersize=5, color=colour,
            markerfacecolor=colour if one in alarms else "white",
        )  # fmt: skip
    axes.axvline(config.least_effect, color=INK, linestyle="--", linewidth=0.8)
    axes.set_yticks(range(len(tests)), [f"{one.what} ({one.method})" for one in tests], fontsize=7)
    axes.set_ylim(len(tests) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("effect (0: same distribution, 1: nothing in common); filled: alarm")
    axes.set_title(title, fontsize=9, loc="left")
    return png(figure)


def distributions_figure(
    reference: MeasuredClips, batch: MeasuredClips, battery: Battery, classes: Sequence[str]
) -> bytes | None:
    """Distribution functions of the values that differ most, training snapshot against new clips; None: there are none."""
    columns = value_columns(reference, batch, classes)
    tests = sorted(
        (one for one in battery.tests if one.method == "KS" and one.what in columns),
        key=lambda one: -one.effect,
    )[:_PANELS]
    if not tests:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 2.6 * ((len(tests) + 2) // 3)), layout="constrained")
    FigureCanvasAgg(figure)
    for place, one in enumerate(tests):
        axes = figure.add_subplot((len(tests) + 2) // 3, 3, place + 1)
        axes.spines[["top", "right"]].set_visible(False)
        for values, colour, style, name in zip(
            columns[one.what], (OLD, NEW), ("-", "--"), ("training snapshot", "new clips"), strict=True
        ):
            known = np.sort(values[~np.isnan(values)])
            axes.step(
                known, np.arange(1, len(known) + 1) / len(known), where="post", color=colour, linestyle=style,
                label=name if place == 0 else None,
            )  # fmt: skip
        axes.set_title(f"{one.what}: KS {one.effect:.2f}", fontsize=8, loc="left")
        axes.tick_params(labelsize=7)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return png(figure)


def value_columns(
    reference: MeasuredClips, batch: MeasuredClips, classes: Sequence[str]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Name of a single value that is tested -> its values of both sets; without the streams' components."""
    columns = {
        name: (reference.quality[name], batch.quality[name])
        for name in sorted(set(reference.quality) & set(batch.quality))
    }
    if reference.probabilities.shape[1:] == batch.probabilities.shape[1:] == (len(classes),):
        for number, name in enumerate(classes):
            columns[f"P({name})"] = reference.probabilities[:, number], batch.probabilities[:, number]
        columns["confidence"] = reference.probabilities.max(axis=1), batch.probabilities.max(axis=1)
    return columns


def priors_figure(summary: Mapping[str, Any]) -> bytes:
    """Class priors of training and, with intervals, of the new clips.

    Args:
        summary: of a label shift analysis that is available (`mer.label_shift.analysis`).
    """
    entries, estimator = summary["classes"], summary["estimator"]
    figure, axes = canvas(6.4, 3.2)
    places = np.arange(len(entries))
    axes.bar(
        places - 0.18, [one["training_prior"] for one in entries], 0.34, color=OLD, label="training snapshot"
    )
    estimated = np.array([one[estimator] for one in entries])
    low, high = (np.array([one[f"{estimator}_{end}"] for one in entries]) for end in ("low", "high"))
    reach = np.maximum([estimated - low, high - estimated], 0)
    axes.bar(
        places + 0.18, estimated, 0.34, yerr=reach, capsize=3, color="white", edgecolor=NEW, ecolor=INK, hatch="///",
        label=f"new clips ({100 * summary['confidence']:g} % interval)",
    )  # fmt: skip
    axes.set_xticks(places, [one["emotion"] for one in entries])
    axes.set_ylabel("share")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return png(figure)
