"""What one clip costs does not grow with the catalogue: queries about named rows go by an index, none by the whole table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from catalogue_rows import clip, content, ref
from sqlalchemy import event, text

from infra.catalogue import Catalogue, ClipUpsert, open_catalogue

GROWING = (
    "clips", "media_files", "gold_labels", "transcripts", "features", "feature_shards", "quarantine",
    "snapshot_members", "pseudo_labels",
)  # fmt: skip
"""Tables with a row for every clip, or for every few hundred."""


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}") as opened:
        opened.upsert_corpus("c", root=Path("/corpus"), format="table", emotions=("neutral", "angry"))
        opened.upsert_clips("c", [clip(number) for number in range(50)])
        opened.set_gold_labels("c", [(f"clip{number}", "angry", None) for number in range(20)])
        opened.register_features("f", ref("shard"), [content(number) for number in range(50)])
        yield opened


@contextmanager
def plans(catalogue: Catalogue) -> Iterator[list[str]]:
    """Lines of SQLite's plans for every statement in the block."""
    found: list[str] = []
    statements: list[tuple[str, object]] = []

    def note(_conn: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE")):
            statements.append((statement, parameters))

    engine = catalogue.database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        for statement, parameters in statements:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
            found += [str(row[3]) for row in rows]


def scans(lines: list[str]) -> list[str]:
    """Plans that go through all rows of a growing table; a whole corpus or feature set by an index counts as well."""
    whole = re.compile(rf"^SCAN ({'|'.join(GROWING)})\b")
    prefix = re.compile(
        r"^SEARCH (clips|media_files|features|quarantine|gold_labels) USING .*\((corpus_id|feature_key)=\?\)$"
    )
    return [line for line in lines if whole.search(line) or prefix.search(line)]


QUESTIONS: dict[str, Callable[[Catalogue], object]] = {
    "contents of few": lambda c: c.contents("c", ["clip1"]),
    "clips of few": lambda c: c.clips("c", only=["clip1", "clip2"]),
    "clips of few with a recogniser": lambda c: c.clips("c", "asr", ["clip1"]),
    "files of few": lambda c: c.known_files("c", ["/corpus/clip1.mp4"]),
    "contents that are known": lambda c: c.known_contents("c", [content(1)]),
    "clips at a path or of a content": lambda c: c.clips_lying_at(["/corpus/clip1.mp4"], [content(2)]),
    "a new clip": lambda c: c.upsert_clips("c", [clip(77, transcript=None)]),
    "a label": lambda c: c.set_gold_labels("c", [("clip1", "neutral", None)]),
    "features of few": lambda c: c.features_of("f", [content(1)]),
    "features of a new clip": lambda c: c.register_features("f", ref("other"), [content(77)]),
    "a file set aside": lambda c: c.quarantine("c", "x", "/corpus/x.mp4", "empty_file", "empty"),
    "files set aside, of few": lambda c: c.quarantined("c", ["/corpus/x.mp4"]),
    "a file that is gone": lambda c: c.forget_files("c", ["/corpus/clip9.mp4"]),
    "a shard that is forgotten": lambda c: c.forget_shard(ref("shard")),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_about_few_rows_reads_few(catalogue: Catalogue, question: str) -> None:
    with plans(catalogue) as lines:
        QUESTIONS[question](catalogue)
    assert lines, "nothing was asked"
    assert not scans(lines), lines


def test_what_is_looked_for_is_seen(catalogue: Catalogue) -> None:
    """The tests above can fail."""
    with plans(catalogue) as lines:
        catalogue.contents("c")
        with catalogue.database.reading() as connection:
            connection.execute(text("SELECT name FROM gold_labels WHERE emotion = 'angry'")).all()
    assert len(scans(lines)) >= 2, lines


def test_many_names_are_asked_for_in_parts(catalogue: Catalogue) -> None:
    rows: list[ClipUpsert] = [clip(number, transcript=None) for number in range(9_000)]
    catalogue.upsert_clips("c", rows)
    paths = [row.path for row in rows]
    assert len(catalogue.known_files("c", paths)) == 9_000
    assert len(catalogue.contents("c", [row.name for row in rows])) == 9_000
    assert catalogue.known_contents("c", [row.content for row in rows] + ["x"]) == {
        row.content for row in rows
    }
    catalogue.forget_files("c", paths[:8_999])
    assert catalogue.counts("c").clips == 1


def test_equal_contents_are_found_without_reading_the_others(catalogue: Catalogue) -> None:
    catalogue.upsert_clips("c", [clip(60, content=content(3)), clip(61, content=content(3)), clip(62)])
    assert [row.name for row in catalogue.clips_sharing_content("c")] == ["clip3", "clip60", "clip61"]
    counts = catalogue.counts("c")
    assert (counts.clips, counts.labelled, counts.speakers) == (53, 20, 5)
