"""Maps of clips by their true class: what streams read of them, aligned spaces, and the answers."""

from __future__ import annotations

from mer.report.blocks import Block, Map, Remark, Section, Spot
from tasks.report.collected import EARLIER, Collected
from tasks.report.run_results import MAPS


def maps(found: Collected) -> Section:
    """A map of each space that the run kept."""
    kept = found.kept(MAPS)
    if kept is None:
        return Section(name="maps", title="Maps of clips", absent=f"Maps are {EARLIER}.")
    names, truth = kept.value("clips"), kept.value("emotion")
    blocks: list[Block] = []
    for title in kept.names("spaces"):
        across, up = (kept.figure("spaces", title, "shares", axis, form="percent") for axis in (0, 1))
        places = zip(kept.value("spaces", title, "x"), kept.value("spaces", title, "y"), strict=True)
        blocks += [
            Map(
                title=f"Clips by {title}",
                groups=found.emotions,
                spots=tuple(
                    Spot(x=x, y=y, group=group, name=name)
                    for (x, y), group, name in zip(places, truth, names, strict=True)
                    if group >= 0
                ),
                source=f"{kept.source}#/spaces",
                x_label="component 1",
                y_label="component 2",
            ),
            Remark(
                parts=("The first two principal components hold ", across, " and ", up, " of the variance.")
            ),
        ]
    drawn = found.out_of_fold
    lead = "Marks are clips, by their true class; near ones are alike in that space. "
    if len(names) < len(drawn):
        lead += "Drawn by a fixed seed from all clips that are scored. "
    return Section(
        name="maps",
        title="Maps of clips",
        lead=lead + "The maps of answers show folds' models side by side; those of features the served view.",
        blocks=tuple(blocks),
    )
