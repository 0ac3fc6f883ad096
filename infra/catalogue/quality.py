"""Quality columns of clips, by content."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import select

from infra.catalogue.bulk import upsert
from infra.catalogue.clips import has_file
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.tables import Clip, ClipQuality


@dataclass(frozen=True, kw_only=True)
class QualityRow:
    """Quality of one content; None: no such stream, or not measured."""

    content: str
    """sha256 (hex) of the media file."""
    method: str
    """How it was measured (version, face detector), at most 100 characters; another method, another row."""
    duration_seconds: float
    speech_seconds: float | None = None
    snr_db: float | None = None
    """Speech over noise, decibels."""
    face_share: float | None = None
    """Share of frames with a face, 0..1."""
    brightness: float | None = None
    """Mean luma, 0..1."""


class QualityCatalogue:
    """Measured quality; clips of equal content share a row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set_quality(self, rows: Sequence[QualityRow]) -> None:
        """Store measurements, all or none; what was known of these contents by this method is replaced. NaN counts as None."""
        values = [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in asdict(row).items()
            }
            for row in rows
        ]
        with self._database.writing() as connection:
            upsert(connection, ClipQuality, values)

    def quality(self, corpus: str, method: str) -> dict[str, QualityRow]:
        """Quality of the corpus' clips that have a file, by content; those not measured by `method` are left out.

        Raises CatalogueError for a corpus that is not catalogued.
        """
        with self._database.reading() as connection:
            number = corpus_id(connection, corpus)
            listed = select(Clip.content).where(Clip.corpus_id == number, has_file())
            query = select(ClipQuality.__table__).where(ClipQuality.content.in_(listed))
            query = query.where(ClipQuality.method == method).order_by(ClipQuality.content)
            return {row["content"]: QualityRow(**row) for row in connection.execute(query).mappings()}
