"""Quality columns of clips, by content."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import exists, select

from infra.catalogue.bulk import upsert
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.tables import ClipQuality, MediaFile


@dataclass(frozen=True, kw_only=True)
class QualityRow:
    """Quality of one clip; None: no such stream, or not measured."""

    clip_id: str
    """sha256 (hex) of the media file."""
    method: str
    """How it was measured (version, face detector), at most 100 characters; another method, another value."""
    duration_seconds: float
    speech_seconds: float | None = None
    snr_db: float | None = None
    """Speech over noise, decibels."""
    face_share: float | None = None
    """Share of frames with a face, 0..1."""
    brightness: float | None = None
    """Mean luma, 0..1."""


class QualityCatalogue:
    """Measured quality; the rows of a clip in two corpora are one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set_quality(self, rows: Sequence[QualityRow]) -> None:
        """Store measurements, all or none; what was known of these clips is replaced. NaN counts as None."""
        values = [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in asdict(row).items()
            }
            for row in rows
        ]
        with self._database.writing() as connection:
            upsert(connection, ClipQuality, values)

    def quality(self, corpus: str, method: str | None = None) -> dict[str, QualityRow]:
        """Quality of the corpus' clips that have a file, by clip id; clips not measured (by `method`) are left out.

        Raises CatalogueError for a corpus that is not catalogued.
        """
        with self._database.reading() as connection:
            number = corpus_id(connection, corpus)
            at_home = exists().where(MediaFile.corpus_id == number, MediaFile.clip_id == ClipQuality.clip_id)
            query = select(ClipQuality.__table__).where(at_home).order_by(ClipQuality.clip_id)
            if method is not None:
                query = query.where(ClipQuality.method == method)
            return {row["clip_id"]: QualityRow(**row) for row in connection.execute(query).mappings()}
