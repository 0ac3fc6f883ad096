"""Quality columns of clips: measured once per content and method, kept in the catalogue."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from prefect import task

from infra.catalogue import ClipRow, QualityRow
from mer.errors import CorpusError, MediaError
from tasks.data.equal_contents import one_of_each_content
from tasks.data.features import cut
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.quality.filters import FilterReport, QualityFilter


def quality_method() -> str:
    """Name of how quality is measured now: another method measures again."""
    from mer.quality.measure import QUALITY_VERSION

    return f"{QUALITY_VERSION}:haar"


@task(name="plan quality")
def plan_quality(corpus: str, shard_clips: int) -> tuple[tuple[str, ...], ...]:
    """Shards of clips with media whose quality is not measured yet, one clip of each content."""
    catalogue = workspace().catalogue
    known = catalogue.quality(corpus, quality_method())
    rows = catalogue.clips(corpus)
    fresh = [row for row in rows if row.content not in known and (row.has_audio or row.has_video)]
    return cut(one_of_each_content(fresh), shard_clips)


@task(name="measure quality")
def measure_shard(corpus: str, names: Sequence[str]) -> int:
    """Measure these clips, decoding in a process of its own.

    A clip stays unmeasured where its decoder fails, or where its measurements cannot be (a header that lies about the
    duration): one clip does not stop the others.
    """
    from mer.media.contained import ContainedMedia
    from mer.media.faces import HaarDetector
    from mer.quality.measure import measure_quality
    from mer.validation.check import check_quality

    space = workspace()
    detector, measured = HaarDetector(), []
    with ContainedMedia() as contained:
        for row in space.catalogue.clips(corpus, only=names):
            try:
                quality = measure_quality(row.path, detector, contained=contained)
                check_quality({row.name: quality})
            except MediaError:
                continue
            except CorpusError as error:
                logging.getLogger(__name__).warning("clip %r stays unmeasured: %s", row.name, error)
                continue
            measured.append(QualityRow(content=row.content, method=quality_method(), **asdict(quality)))
    space.catalogue.set_quality(measured)
    return len(measured)


def filtered(space: Workspace, corpus: str, rows: Sequence[ClipRow], bounds: QualityFilter) -> FilterReport:
    """Report, by name, which of these clips pass the bounds on the measured quality of their contents."""
    from mer.quality.measure import ClipQuality

    known = space.catalogue.quality(corpus, quality_method())
    measured = {
        row.name: ClipQuality(
            duration_seconds=quality.duration_seconds,
            speech_seconds=quality.speech_seconds,
            snr_db=quality.snr_db,
            face_share=quality.face_share,
            brightness=quality.brightness,
        )
        if (quality := known.get(row.content)) is not None
        else None
        for row in rows
    }
    return bounds.apply(measured)
