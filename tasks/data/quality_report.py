"""Quality of a catalogued corpus for people: measured where it is missing, shown or written as a row a clip. Needs no server."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.objects.bucket_address import BucketAddress, is_bucket_address
from infra.shown_address import shown_address
from mer.errors import ConfigError
from mer.whole_files import write_whole
from tasks.data.equal_contents import one_of_each_content
from tasks.data.face_detectors import settled_detector
from tasks.data.quality import known_quality, measure_clips, quality_method
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.quality.measure import ClipQuality

SUFFIXES = (".csv", ".parquet", ".json")
"""Forms in which the rows of clips are written."""

_FORMULA = "=+-@\t\r'"
"""First characters that make a spreadsheet compute a text."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CorpusQuality:
    """Quality columns of a corpus, by one method."""

    corpus: str
    detector: str
    """Settled name of the face detector."""
    measured: dict[str, ClipQuality | None]
    """Clip -> quality, by name; None: not measured."""
    contents: dict[str, str]
    """Clip -> sha256 of its media."""
    unmeasured: dict[str, str] = field(default_factory=dict)
    """Clip -> why it could not be measured now."""


def catalogued_corpus(space: Workspace, corpus: str) -> str:
    """Name in the catalogue of a corpus that is given by that name, by its folder (or address in a bucket), or by its folder's
    name.

    Raises:
        LookupError: none is catalogued under it, or several lie there; says which there are.
    """
    rows = space.catalogue.corpora()
    names = {row.name for row in rows}
    if corpus in names:
        return corpus
    folder = Path(corpus).expanduser()
    if is_bucket_address(corpus):
        folder = BucketAddress.parse(corpus, space.settings).mirror(space.settings)
    at_folder = sorted(row.name for row in rows if row.root == folder.resolve())
    named_so = sorted(row.name for row in rows if row.root.name == corpus)
    for candidates in (at_folder, named_so):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise LookupError(
                f"corpus {shown_address(corpus)!r}: expected one corpus, found {', '.join(candidates)}; give one of these names"
            )
    remedy = (
        f"`mer ingest --corpus {shown_address(corpus)}` reads it in first"
        if folder.is_dir()
        else "`mer ingest --corpus PATH` reads one in"
    )
    listed = f"expected one of {', '.join(sorted(names))}" if names else "none is catalogued yet"
    raise LookupError(f"corpus {shown_address(corpus)!r}: {listed}; {remedy}")


def corpus_quality(
    space: Workspace, corpus: str, detector: str, *, measure: bool = True, progress: Progress | None = None
) -> CorpusQuality:
    """The quality of all clips of a catalogued corpus; what is missing is measured first, each content once.

    Args:
        space: the stores.
        corpus: its name in the catalogue.
        detector: face detector, see `mer.media.detector_choice`.
        measure: False leaves out what is not measured yet.
        progress: called with (measured, to measure) after each clip.
    """
    settled = settled_detector(detector, space.settings)
    rows = space.catalogue.clips(corpus)
    unmeasured: dict[str, str] = {}
    if measure:
        known = space.catalogue.quality(corpus, quality_method(settled))
        fresh = [row for row in rows if row.content not in known and (row.has_audio or row.has_video)]
        names = one_of_each_content(fresh)
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, len(names))

        unmeasured = measure_clips(space, corpus, names, settled, advance) if names else {}
    measured = known_quality(space, corpus, rows, settled)
    contents = {row.name: row.content for row in rows}
    return CorpusQuality(corpus, settled, dict(sorted(measured.items())), contents, unmeasured)


def check_quality_file(path: Path) -> None:
    """Check that rows can be written there. Raises ConfigError."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"quality: expected a file named *{', *'.join(SUFFIXES)}, found {path.name!r}")
    if path.is_dir():
        raise ConfigError(f"quality: expected a file, found the folder {path}")


def write_quality(quality: CorpusQuality, path: Path) -> None:
    """Write a row a clip: name, content, method, and the columns, empty where a value is missing. All of the file or nothing.

    Raises:
        ConfigError: another suffix than .csv, .parquet or .json.
        DiskFull, WriteFailed: it cannot be written.
    """
    check_quality_file(path)
    data = _FORMS[path.suffix.lower()](_records(quality))
    write_whole(path, data, sweep=True)


def _records(quality: CorpusQuality) -> list[dict[str, Any]]:
    from mer.quality.summary import COLUMNS

    method = quality_method(quality.detector)
    return [
        {
            "name": name,
            "content": quality.contents[name],
            "method": method if values is not None else None,
            **{column: asdict(values)[column] if values is not None else None for column in COLUMNS},
        }
        for name, values in quality.measured.items()
    ]


def _csv(records: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_columns())
    for record in records:
        writer.writerow([_cell(value) for value in record.values()])
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    said = "" if value is None else str(value)
    return f"'{said}" if said[:1] and said[0] in _FORMULA else said


def _parquet(records: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = {"name", "content", "method"}
    schema = pa.schema([(name, pa.string() if name in texts else pa.float64()) for name in _columns()])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records, schema=schema), buffer)
    return buffer.getvalue()


def _json(records: list[dict[str, Any]]) -> bytes:
    return (json.dumps(records, indent=1, ensure_ascii=False) + "\n").encode()


def _columns() -> tuple[str, ...]:
    from mer.quality.summary import COLUMNS

    return ("name", "content", "method", *COLUMNS)


_FORMS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".json": _json,
}
