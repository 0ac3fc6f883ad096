"""Figures of a search as PNG bytes: how it went, and which options mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mer.evaluation.figures import ACCENT, SOFT, canvas, png


def history_figure(values: Sequence[float], pruned: Sequence[bool]) -> bytes:
    """Score by trial, in the order of the trials; the line is the best so far of those trained to their end.

    Args:
        values: score of every trial; a pruned one's is that of its last rung.
        pruned: whether it was given up early.
    """
    figure, axes = canvas(6.4, 3.6)
    number, score, early = (
        np.arange(len(values)),
        np.asarray(values, dtype=float),
        np.asarray(pruned, dtype=bool),
    )
    axes.scatter(number[early], score[early], marker="x", s=18, color=SOFT, label="given up early")
    axes.scatter(number[~early], score[~early], s=18, color=ACCENT, label="trained to its end")
    if (~early).any():
        axes.step(
            number[~early],
            np.fmax.accumulate(score[~early]),
            where="post",
            color=ACCENT,
            linewidth=1,
            label="best so far",
        )
    axes.set_xlabel("trial")
    axes.set_ylabel("WAF, validation speakers")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return png(figure)


def importance_figure(importance: Mapping[str, float]) -> bytes:
    """Share of the variance between trials that each option explains (fANOVA), the largest on top."""
    figure, axes = canvas(6.4, 0.9 + 0.34 * max(1, len(importance)))
    ordered = sorted(importance.items(), key=lambda item: item[1])
    axes.barh([name for name, _ in ordered], [share for _, share in ordered], color=ACCENT, alpha=0.8)
    axes.set_xlim(0, 1)
    axes.set_xlabel("importance (share of the variance between trials)")
    return png(figure)
