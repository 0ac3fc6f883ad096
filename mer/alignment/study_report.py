"""The views of an alignment study put together: figures with intervals, and the table that people read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mer.alignment.config import AlignmentStudyConfig
from mer.alignment.retrieval import RANKS
from mer.alignment.study import SYSTEMS, WITHIN, ViewStudy
from mer.alignment.study_cells import SHUFFLED, Figures, of_fits, range_text, row, with_interval
from mer.alignment.transfer_report import transfer_figures, transfer_lines
from mer.evaluation.clip_means import resampled_mean

GEOMETRY = ("alignment", "strangers_distance", "uniformity_trained", "uniformity_anchor")


def summarised(views: Sequence[ViewStudy], config: AlignmentStudyConfig) -> Figures:
    """Flat figures over all views, clips weighing equally.

    Names, with `within_speaker_` in front of those of retrieval among a speaker's own clips:
    `trained_to_anchor_r<k>`, `anchor_to_trained_r<k>`, `r<k>` (mean of both ways) with `_low`, `_high` (speakers
    resampled), `_p` (share of permuted pairings that do as well), `chance_r<k>`; `control_<kind>_r<k>` with
    `_low`, `_high` (t over fits); `alignment`, `strangers_distance`, `uniformity_trained`, `uniformity_anchor`;
    `probe_<system>` and `probe_<system>_gain` (over raw) with `_low`, `_high` (speakers resampled);
    `control_<kind>_probe` (of aligned vectors) with `_low`, `_high` (t over fits); `zero_shot` (a classifier of the
    anchor, asked about the trained side) and `few_<k>_raw`, `few_<k>_aligned`, `few_<k>_gain` (labels of k speakers)
    with `_low`, `_high` (speakers resampled), `zero_shot_chance`, and of controls `control_<kind>_zero_shot`,
    `control_<kind>_few_<k>_gain` with `_low`, `_high` (t over fits).
    """
    figures: Figures = {"views": float(len(views))}
    for prefix in ("", WITHIN):
        figures |= _retrieval(views, prefix, config)
        for kind in views[0].controls:
            figures |= _control(views, prefix, kind, config)
    clips = [view.figures["retrieval_clips"] for view in views]
    for name in GEOMETRY:
        figures[name] = float(np.average([view.figures[name] for view in views], weights=clips))
    return figures | _probe(views, config) | transfer_figures(views, config)


def _retrieval(views: Sequence[ViewStudy], prefix: str, config: AlignmentStudyConfig) -> Figures:
    counted = "within_speaker_clips" if prefix else "retrieval_clips"
    queries = np.array([view.figures[counted] for view in views])
    if not queries.sum():
        return {}
    figures: Figures = {counted: float(queries.sum())}
    present = [view for view, count in zip(views, queries, strict=True) if count]
    hits = np.concatenate([view.within_hits if prefix else view.hits for view in present])
    speakers = [name for view in present for name in (view.within_speaker if prefix else view.speaker)]
    weights = queries[queries > 0]
    null = np.average(
        [view.within_permuted if prefix else view.permuted for view in present], axis=0, weights=weights
    )  # (permutations, ranks)
    for column, k in enumerate(RANKS):
        for way in ("trained_to_anchor", "anchor_to_trained", "chance"):
            name = f"{prefix}{way}_r{k}"
            figures[name] = float(np.average([view.figures[name] for view in present], weights=weights))
        recall = resampled_mean(hits[:, column], speakers, seed=config.seed)
        figures |= with_interval(f"{prefix}r{k}", recall.point, recall.interval(config.confidence))
        as_good = (null[:, column] >= recall.point - 1e-6).sum()
        figures[f"{prefix}r{k}_p"] = float((1 + as_good) / (1 + len(null)))
    return figures


def _control(views: Sequence[ViewStudy], prefix: str, kind: str, config: AlignmentStudyConfig) -> Figures:
    """Mean over the fits of a control, each pooled over views, with the interval of that mean."""
    counted = "within_speaker_clips" if prefix else "retrieval_clips"
    figures: Figures = {}
    for k in RANKS:
        ways = [f"{prefix}{way}_r{k}" for way in ("trained_to_anchor", "anchor_to_trained")]
        present = [
            view for view in views if kind in view.controls and all(way in view.figures for way in ways)
        ]
        if not present:
            continue
        weights = [view.figures[counted] for view in present]
        by_fit = np.array([[(fit[ways[0]] + fit[ways[1]]) / 2 for fit in v.controls[kind]] for v in present])
        figures |= of_fits(
            f"control_{kind}_{prefix}r{k}", np.average(by_fit, axis=0, weights=weights), config
        )
    return figures


def _probe(views: Sequence[ViewStudy], config: AlignmentStudyConfig) -> Figures:
    scored = [view for view in views if view.probe]
    if not scored:
        return {}
    speakers = [name for view in scored for name in view.probe_speaker]
    right = {name: np.concatenate([np.asarray(view.probe[name]) for view in scored]) for name in SYSTEMS}
    figures: Figures = {"probe_clips": float(len(speakers))}
    for name, values in right.items():
        accuracy = resampled_mean(values, speakers, seed=config.seed)
        figures |= with_interval(f"probe_{name}", accuracy.point, accuracy.interval(config.confidence))
        if name != "raw":
            gain = resampled_mean(values - right["raw"], speakers, seed=config.seed)
            figures |= with_interval(f"probe_{name}_gain", gain.point, gain.interval(config.confidence))
    clips = [len(view.probe_speaker) for view in scored]
    for kind in scored[0].controls:
        by_fit = np.array([[fit["probe_aligned"] for fit in view.controls[kind]] for view in scored])
        figures |= of_fits(f"control_{kind}_probe", np.average(by_fit, axis=0, weights=clips), config)
    return figures


def table_lines(
    figures: Mapping[str, float], trained: str = "trained side", anchor: str = "anchor"
) -> list[str]:
    """The study as lines of text, 80 columns.

    Args:
        figures: as `summarised` gives them. trained, anchor: names of the two streams, for people.
    """
    return [
        *_retrieval_lines(figures, trained, anchor),
        *_geometry_lines(figures, trained, anchor),
        *_probe_lines(figures),
        *transfer_lines(figures, trained, anchor),
    ]


def _retrieval_lines(figures: Mapping[str, float], trained: str, anchor: str) -> Iterator[str]:
    for prefix, title in (("", "all held-out clips"), (WITHIN, "within speakers")):
        if f"{prefix}r1" not in figures:
            yield f"retrieval {title}: speakers unknown, not measured"
            continue
        yield from row(f"retrieval, {title}", [f"R@{k}" for k in RANKS])
        for name, shown in (
            ("trained_to_anchor", f"{anchor} by {trained}"),
            ("anchor_to_trained", f"{trained} by {anchor}"),
            ("chance", "chance"),
        ):
            yield from row(f"  {shown}", [f"{figures[f'{prefix}{name}_r{k}']:.4f}" for k in RANKS])
        yield from row("  both ways (bootstrap)", _cells(figures, f"{prefix}r"))
        yield from row("  p against permuted pairs", [f"{figures[f'{prefix}r{k}_p']:.4f}" for k in RANKS])
        for kind, shown in SHUFFLED.items():
            if f"control_{kind}_{prefix}r1" in figures:
                fits = int(figures[f"control_{kind}_{prefix}r1_fits"])
                yield from row(f"  {shown} ({fits} fits)", _cells(figures, f"control_{kind}_{prefix}r"))
                yield from row("", [_verdict(figures, kind, prefix, k) for k in RANKS])


def _cells(figures: Mapping[str, float], name: str) -> list[str]:
    return [
        f"{_short(figures[f'{name}{k}'], 4)} ({_short(figures[f'{name}{k}_low'])}-{_short(figures[f'{name}{k}_high'])})"
        for k in RANKS
    ]


def _short(share: float, digits: int = 3) -> str:
    """A share of 0 to 1 in few characters: .618 for 0.618."""
    return f"{share:.{digits}f}".removeprefix("0") if share < 1 else f"{share:.{digits - 1}f}"


def _verdict(figures: Mapping[str, float], kind: str, prefix: str, k: int) -> str:
    chance, name = figures[f"{prefix}chance_r{k}"], f"control_{kind}_{prefix}r{k}"
    if figures[f"{name}_low"] > chance:
        return "above chance"
    return "below chance" if figures[f"{name}_high"] < chance else "at chance"


def _geometry_lines(figures: Mapping[str, float], trained: str, anchor: str) -> Iterator[str]:
    yield (
        f"partners at squared distance {figures['alignment']:.3f}, strangers {figures['strangers_distance']:.3f}"
    )
    yield f"uniformity {figures['uniformity_trained']:.3f} ({trained}), {figures['uniformity_anchor']:.3f} ({anchor})"


def _probe_lines(figures: Mapping[str, float]) -> Iterator[str]:
    if "probe_raw" not in figures:
        return
    yield from row("linear probe, held-out speakers", ["accuracy", "minus raw"], 27)
    for name in SYSTEMS:
        gain = f"probe_{name}_gain"
        change = f"{figures[gain]:+.3f} ({range_text(figures, gain)})" if gain in figures else ""
        accuracy = f"{figures[f'probe_{name}']:.3f} ({range_text(figures, f'probe_{name}')})"
        yield from row(f"  {name.replace('_', ' + ')}", [accuracy, change], 27)
    for kind, shown in SHUFFLED.items():
        if (name := f"control_{kind}_probe") in figures:
            accuracy = f"{figures[name]:.3f} ({range_text(figures, name)})"
            yield from row(f"  aligned, {shown}", [accuracy], 27)
