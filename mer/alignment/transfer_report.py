"""What an alignment gives with few labelled speakers and with none: figures with intervals, and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mer.alignment.config import AlignmentStudyConfig
from mer.alignment.study import ViewStudy
from mer.alignment.study_cells import SHUFFLED, Figures, of_fits, range_text, row, with_interval
from mer.evaluation.clip_means import resampled_mean


def transfer_figures(views: Sequence[ViewStudy], config: AlignmentStudyConfig) -> Figures:
    """Those of `mer.alignment.study_report.summarised` whose names begin with `zero_shot`, `few_`, and of their controls."""
    scored = [view for view in views if view.zero_shot]
    if not scored:
        return {}
    speakers = [name for view in scored for name in view.probe_speaker]
    right = np.concatenate([view.zero_shot for view in scored])
    found = resampled_mean(right, speakers, seed=config.seed)
    figures = with_interval("zero_shot", found.point, found.interval(config.confidence))
    figures["zero_shot_chance"] = 1.0 / max(view.classes for view in scored)
    for count in config.few_speakers:
        if all(str(count) in view.few for view in scored):
            figures |= _few(scored, str(count), speakers, config)
    clips = [len(view.zero_shot) for view in scored]
    for kind in scored[0].controls:
        for name in ("zero_shot", *(f"few_{count}_gain" for count in config.few_speakers)):
            if all(name in fit for view in scored for fit in view.controls[kind]):
                by_fit = np.array([[fit[name] for fit in view.controls[kind]] for view in scored])
                values = np.average(by_fit, axis=0, weights=clips)
                figures |= of_fits(f"control_{kind}_{name}", values, config, bounds=(-1.0, 1.0))
    return figures


def _few(
    views: Sequence[ViewStudy], count: str, speakers: Sequence[str | None], config: AlignmentStudyConfig
) -> Figures:
    raw, aligned = (
        np.concatenate([np.asarray(view.few[count][name]) for view in views]) for name in ("raw", "aligned")
    )
    figures: Figures = {}
    for name, values in (("raw", raw), ("aligned", aligned), ("gain", aligned - raw)):
        found = resampled_mean(values, speakers, seed=config.seed)
        figures |= with_interval(f"few_{count}_{name}", found.point, found.interval(config.confidence))
    return figures


def transfer_lines(figures: Mapping[str, float], trained: str, anchor: str) -> Iterator[str]:
    """Rows of the table; none where there were no labels to probe with."""
    if "zero_shot" not in figures:
        return
    counts = [name.split("_")[1] for name in figures if name.startswith("few_") and name.endswith("_gain")]
    if counts:
        yield from row("labelled speakers", ["raw", "aligned", "aligned - raw"])
    for count in counts:
        name = f"few_{count}_gain"
        cells = [f"{figures[f'few_{count}_{system}']:.3f}" for system in ("raw", "aligned")]
        yield from row(f"  {count}", [*cells, f"{figures[name]:+.3f}"])
        yield from row("", ["", "", f"({range_text(figures, name)})"])
        for kind, shown in SHUFFLED.items():
            if (control := f"control_{kind}_{name}") in figures:
                yield from row(f"  {count}, {shown}", ["", "", f"{figures[control]:+.3f}"])
                yield from row("", ["", "", f"({range_text(figures, control)})"])
    yield f"classifier of {anchor} asked about {trained}, chance {figures['zero_shot_chance']:.3f}"
    yield from row(
        "  zero-shot accuracy", [f"{figures['zero_shot']:.3f} ({range_text(figures, 'zero_shot')})"], 27
    )
    for kind, shown in SHUFFLED.items():
        if (name := f"control_{kind}_zero_shot") in figures:
            yield from row(f"  {shown}", [f"{figures[name]:.3f} ({range_text(figures, name)})"], 27)
