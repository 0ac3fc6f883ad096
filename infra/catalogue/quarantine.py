"""Files set aside with a reason. A path is either accepted or set aside, never both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, select

from infra.catalogue.bulk import in_parts, upsert
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.stored_path import stored_path
from infra.catalogue.tables import MediaFile, Quarantine
from infra.catalogue.utc_time import utc_now


@dataclass(frozen=True, kw_only=True)
class QuarantinedFile:
    """A file set aside, and why."""

    name: str
    path: str
    """As found, with undecodable bytes written as escapes."""
    reason: str
    """Reason code."""
    detail: str
    """For a person."""


class QuarantineCatalogue:
    """What was set aside, by corpus."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def quarantine(self, corpus: str, name: str, path: str | Path, reason: str, detail: str) -> None:
        """Set one file aside; see `quarantine_all`."""
        self.quarantine_all(
            corpus, [QuarantinedFile(name=name, path=str(path), reason=str(reason), detail=detail)]
        )

    def quarantine_all(self, corpus: str, files: Sequence[QuarantinedFile]) -> None:
        """Set files aside with a reason code; a file accepted before is accepted no longer."""
        with self._database.writing() as connection:
            number = corpus_id(connection, corpus)
            values = [
                {
                    "corpus_id": number,
                    "path": storable(file.path),
                    "name": storable(file.name),
                    "reason": file.reason,
                    "detail": storable(file.detail),
                    "created_at": utc_now(),
                }
                for file in files
            ]
            upsert(connection, Quarantine, values)
            forget_media(connection, number, {stored_path(file.path) for file in files})

    def quarantined(self, corpus: str, only: Collection[str] | None = None) -> list[QuarantinedFile]:
        """Files set aside, by path; `only`: of these paths, None: all."""
        columns = (Quarantine.name, Quarantine.path, Quarantine.reason, Quarantine.detail)
        with self._database.reading() as connection:
            same = Quarantine.corpus_id == corpus_id(connection, corpus)
            query = select(*columns).where(same).order_by(Quarantine.path)
            if only is not None:
                parts = in_parts(map(storable, only))
                held = [
                    row
                    for part in parts
                    for row in connection.execute(query.where(Quarantine.path.in_(part)))
                ]
                return [QuarantinedFile(**row._mapping) for row in held]
            return [QuarantinedFile(**row) for row in connection.execute(query).mappings()]

    def release(self, corpus: str, paths: Iterable[str]) -> None:
        """Take files that are no longer there out of the quarantine."""
        with self._database.writing() as connection:
            release_paths(connection, corpus_id(connection, corpus), {storable(path) for path in paths})


def storable(text: str) -> str:
    """`text` with what no database stores (lone surrogates of undecodable file names, NUL) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def release_paths(connection: Connection, corpus_id: int, paths: set[str]) -> None:
    """Delete what is quarantined under `paths`."""
    for part in in_parts(paths):
        same = (Quarantine.corpus_id == corpus_id) & Quarantine.path.in_(part)
        connection.execute(delete(Quarantine).where(same))


def forget_media(connection: Connection, corpus_id: int, paths: set[str]) -> None:
    """Delete what is accepted under `paths`; a clip without any file is no longer listed."""
    for part in in_parts(paths):
        same = (MediaFile.corpus_id == corpus_id) & MediaFile.path.in_(part)
        connection.execute(delete(MediaFile).where(same))
