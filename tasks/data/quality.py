"""Quality columns of clips: measured once per content and method, kept in the catalogue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from prefect import task

from infra.catalogue import ClipRow, QualityRow
from mer.errors import CorpusError, MediaError
from mer.media.detector_choice import AUTO, open_detector, short_name
from tasks.data.equal_contents import one_of_each_content
from tasks.data.face_detectors import settled_detector
from tasks.data.features import cut
from tasks.data.spans import spans_of
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.quality.filters import FilterReport, QualityFilter
    from mer.quality.measure import ClipQuality

SAVED_CLIPS = 16
"""Clips whose measurements are stored together: what an interrupted measurement loses at most."""


def quality_method(detector: str) -> str:
    """Name of how quality is measured with a settled detector: its version, and `haar`, `yunet:` and 8 hex digits, or `none`."""
    from mer.quality.measure import QUALITY_VERSION

    return f"{QUALITY_VERSION}:{short_name(detector)}"


@task(name="plan quality")
def plan_quality(corpus: str, shard_clips: int, detector: str = AUTO) -> tuple[tuple[str, ...], ...]:
    """Clips with media whose quality is not measured yet by this detector, one clip of each content, by task run: shards, in a
    large corpus several of them (`tasks.data.spans`).
    """
    space = workspace()
    known = space.catalogue.quality(corpus, quality_method(settled_detector(detector, space.settings)))
    rows = space.catalogue.clips(corpus)
    fresh = [row for row in rows if row.content not in known and (row.has_audio or row.has_video)]
    return tuple(spans_of(cut(one_of_each_content(fresh), shard_clips), len(rows)))


@task(name="measure quality")
def measure_shard(corpus: str, names: Sequence[str], detector: str = AUTO) -> int:
    """Measure these clips; returns how many could be."""
    return len(names) - len(measure_clips(workspace(), corpus, names, detector))


def measure_clips(
    space: Workspace,
    corpus: str,
    names: Sequence[str],
    detector: str = AUTO,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Measure these clips, decoding in a process of its own; `advance` is called after each.

    A clip stays unmeasured where its decoder fails, or where its measurements cannot be (a header that lies about the
    duration): one clip does not stop the others.

    Returns:
        Clip -> why it stays unmeasured.
    """
    from mer.media.contained import ContainedMedia
    from mer.quality.measure import measure_quality
    from mer.validation.check import check_quality

    settled = settled_detector(detector, space.settings)
    opened, method = open_detector(settled, space.weights), quality_method(settled)
    measured: list[QualityRow] = []
    unmeasured: dict[str, str] = {}
    with ContainedMedia() as contained:
        for row in space.catalogue.clips(corpus, only=names):
            try:
                quality = measure_quality(row.path, opened, contained=contained)
                check_quality({row.name: quality})
            except MediaError as error:
                unmeasured[row.name] = str(error)
            except CorpusError as error:
                unmeasured[row.name] = str(error)
                logging.getLogger(__name__).warning(
                    "clip %r stays unmeasured: %s", row.name, error, extra={"clip": row.name}
                )
            else:
                measured.append(QualityRow(content=row.content, method=method, **asdict(quality)))
            if len(measured) >= SAVED_CLIPS:
                space.catalogue.set_quality(measured)
                measured = []
            advance()
    space.catalogue.set_quality(measured)
    return unmeasured


def known_quality(
    space: Workspace, corpus: str, rows: Sequence[ClipRow], detector: str = AUTO
) -> dict[str, ClipQuality | None]:
    """The quality of these clips by name; None of those that are not measured by this detector."""
    from mer.quality.measure import ClipQuality

    method = quality_method(settled_detector(detector, space.settings))
    known = space.catalogue.quality(corpus, method)
    return {
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


def filtered(
    space: Workspace, corpus: str, rows: Sequence[ClipRow], bounds: QualityFilter, detector: str = AUTO
) -> FilterReport:
    """Report, by name, which of these clips pass the bounds on the quality that was measured by a detector."""
    return bounds.apply(known_quality(space, corpus, rows, detector))
