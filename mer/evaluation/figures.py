"""Figures as PNG bytes: layer curve, confusion matrix, reliability. Drawn without a display and without global state."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.calibration import ReliabilityBins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, ACCENT = "#1f2933", "#9aa5b1", "#2f6fb0"


@dataclass(frozen=True)
class LayerScores:
    """Score of every hidden state on held-out speakers, with its interval; all of shape (states,)."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    score: str = "accuracy"
    """Name of the score."""
    confidence: float = 0.95
    """Coverage of the interval."""


def layer_curve(
    scores: LayerScores,
    block: tuple[int, int] | None = None,
    *,
    weights: NDArray[np.float64] | None = None,
    title: str = "",
) -> bytes:
    """Score by hidden state with its interval; `block` (start, stop) shades the states its layers make, `weights` are each
    state's share in a mixture of all. Wider for more layers, so that every state keeps its number.
    """
    mean, low, high = scores.mean, scores.low, scores.high
    layers = np.arange(len(mean))
    figure, axes = canvas(min(12.0, max(6.4, 1.5 + 0.3 * len(mean))), 3.9)
    if weights is not None:
        beside = axes.twinx()
        beside.bar(layers, weights, width=0.6, color=SOFT, alpha=0.45, zorder=0)
        beside.set_ylim(0, 3 * float(weights.max()))  # bars keep to the lower third, below the curve
        beside.set_ylabel("share in a learned mixture (bars)", color=INK)
        beside.spines["top"].set_visible(False)
        axes.set_zorder(beside.get_zorder() + 1)
        axes.patch.set_visible(False)
    if block is not None:
        name = f"best block (layers {block[0] + 1}-{block[1]})"
        axes.axvspan(block[0] + 0.5, block[1] + 0.5, color=ACCENT, alpha=0.12, label=name)
    axes.fill_between(
        layers, low, high, color=ACCENT, alpha=0.22, linewidth=0,
        label=f"{100 * scores.confidence:g} % interval (bootstrap)",
    )  # fmt: skip
    axes.plot(layers, mean, marker="o", markersize=4, color=ACCENT, label="score")
    axes.set_xlim(-0.7, len(mean) - 0.3)
    axes.set_xticks(layers)
    axes.tick_params(axis="x", labelsize=8 if len(mean) > 14 else 10)
    axes.set_xlabel("hidden state (0 = front end)")
    axes.set_ylabel(f"{scores.score}, held-out speakers")
    reach = float(np.max(high) - np.min(low)) or 1.0
    floor = np.min(low) - (0.45 * reach if weights is not None else 0.05 * reach)
    axes.set_ylim(floor, np.max(high) + 0.05 * reach)
    axes.set_title(title, fontsize=9, loc="left")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return png(figure)


def confusion_figure(counts: NDArray[np.int64], emotions: Sequence[str]) -> bytes:
    """(C, C) counts as row shares with the counts written in; rows truth, columns prediction."""
    size = 1.8 + 0.62 * len(emotions)
    figure, axes = canvas(size + 0.6, size)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        ink = "white" if share > 0.55 else INK
        axes.text(
            column,
            row,
            f"{share:.2f}\n{counts[row, column]}",
            ha="center",
            va="center",
            color=ink,
            fontsize=7,
        )
    axes.set_xticks(range(len(emotions)), emotions, rotation=35, ha="right")
    axes.set_yticks(range(len(emotions)), emotions)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return png(figure)


def reliability_figure(bins: ReliabilityBins) -> bytes:
    """Accuracy by confidence; a calibrated model lies on the diagonal."""
    figure, axes = canvas(4.2, 4.0)
    held = bins.count > 0
    width = bins.edges[1] - bins.edges[0]
    middle = bins.edges[:-1] + width / 2
    axes.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1)
    axes.bar(middle[held], bins.accuracy[held], width=width * 0.9, color=ACCENT, alpha=0.75)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence (calibrated)")
    axes.set_ylabel("share that is right")
    axes.set_title(f"expected calibration error {bins.error:.3f}, {int(bins.count.sum())} clips", fontsize=9)
    return png(figure)


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure, sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # not pyplot: tasks draw in threads
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    target = io.BytesIO()
    # No version or date in the file: equal results have equal bytes.
    figure.savefig(target, format="png", dpi=130, metadata={"Software": None})
    return target.getvalue()
