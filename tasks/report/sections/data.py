"""Quality of the corpus' clips, and the files that were set aside."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlencode

from mer.quality.summary import summaries
from mer.recipes.face_detectors import quality_detector
from mer.report.blocks import Block, Remark, Section, Table
from mer.report.figures import Figure, Form
from tasks.data.quality import known_quality
from tasks.report.collected import Collected

_TITLES = {
    "duration_seconds": "duration (s)",
    "speech_seconds": "speech (s)",
    "snr_db": "speech over noise (dB)",
    "face_share": "frames with a face",
    "brightness": "brightness",
}
_POINTS = ("minimum", "lower_quartile", "median", "upper_quartile", "maximum")


def data(found: Collected) -> Section:
    """Distribution of the quality columns; counts of files set aside by reason."""
    if not found.corpus or found.corpus not in {row.name for row in found.space.catalogue.corpora()}:
        return Section(
            name="data", title="Data quality", absent="The corpus is not in the catalogue any more."
        )
    blocks: list[Block] = [*_quality(found), *_quarantine(found)]
    return Section(
        name="data",
        title="Data quality",
        lead="Of the corpus as it is catalogued now. `mer quality` lists the worst clips.",
        blocks=tuple(blocks),
    )


def _quality(found: Collected) -> list[Block]:
    rows = found.space.catalogue.clips(found.corpus)
    measured = known_quality(found.space, found.corpus, rows, quality_detector(found.package.recipe))
    if not any(quality is not None for quality in measured.values()):
        return [
            Remark(
                parts=(
                    f"Quality was not measured: `mer quality {found.corpus}` measures it in a minute or two.",
                )
            )
        ]
    table: list[tuple[Any, ...]] = []
    for row in summaries(measured):

        def figure(name: str, form: Form = "number", column: str = row.column, of: object = row) -> Figure:
            query = urlencode({"quality": column, "field": name})
            return Figure(value=getattr(of, name), source=f"catalogue?{query}", form=form)

        table.append((_TITLES[row.column], *(figure(name) for name in _POINTS), figure("missing", "count")))
    columns = ("", "least", "lower quartile", "median", "upper quartile", "most", "clips without")
    return [Table(caption="Quality of the clips", columns=columns, rows=tuple(table))]


def _quarantine(found: Collected) -> list[Block]:
    reasons = Counter(file.reason for file in found.space.catalogue.quarantined(found.corpus))
    if not reasons:
        return [Remark(parts=("No file was set aside.",))]
    rows = tuple(
        (
            reason,
            Figure(value=count, source=f"catalogue?{urlencode({'quarantined': reason})}", form="count"),
        )
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    )
    return [Table(caption="Files set aside (quarantine), by reason", columns=("reason", "files"), rows=rows)]
