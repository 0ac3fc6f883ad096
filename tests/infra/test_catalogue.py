from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from catalogue_rows import clip, content, ref
from sqlalchemy import text

from infra.catalogue import (
    Catalogue,
    KnownFile,
    open_catalogue,
)
from infra.catalogue.tables import Base
from infra.errors import CatalogueError, CatalogueUnavailable, SettingsError

EMOTIONS = ("neutral", "angry")


@pytest.fixture
def corpus(catalogue: Catalogue) -> str:
    catalogue.upsert_corpus("c", root=Path("/corpus"), format="table", emotions=EMOTIONS)
    return "c"


def test_a_recognisers_text_stands_in_where_the_corpus_has_none(catalogue: Catalogue, corpus: str) -> None:
    catalogue.upsert_clips(corpus, [clip(1), clip(2, transcript=None), clip(3, transcript=None)])
    catalogue.set_recognised("asr", [(content(1), "misheard"), (content(2), "heard")])
    catalogue.set_recognised("asr", [(content(2), "heard again")])
    catalogue.set_recognised("other", [(content(3), "of another recogniser")])
    assert {row.name: row.transcript for row in catalogue.clips(corpus, "asr")} == {
        "clip1": "text of 1", "clip2": "heard again", "clip3": None,
    }  # fmt: skip
    assert {row.transcript for row in catalogue.clips(corpus)} == {"text of 1", None}


def test_corpus(catalogue: Catalogue) -> None:
    first = catalogue.upsert_corpus("c", "/a", "table", EMOTIONS)
    assert catalogue.upsert_corpus("c", Path("/b"), "folder", ("x",)) == first
    found = catalogue.corpus("c")
    assert (found.id, found.root, found.format, found.emotions) == (first, Path("/b"), "folder", ("x",))
    assert catalogue.corpus_root("c") == Path("/b")
    with pytest.raises(CatalogueError, match="ingest"):
        catalogue.clips("unknown")


def test_clips_with_labels_and_transcripts(catalogue: Catalogue, corpus: str) -> None:
    catalogue.upsert_clips(corpus, [clip(1), clip(2, transcript=None, speaker=None, fold=None)])
    catalogue.set_gold_labels(corpus, [("clip1", "angry", -2.5), ("clip2", None, float("nan"))])
    rows = {row.name: row for row in catalogue.clips(corpus)}
    assert rows["clip1"].path == Path("/corpus/clip1.mp4")
    assert (rows["clip1"].emotion, rows["clip1"].valence, rows["clip1"].transcript) == (
        "angry",
        -2.5,
        "text of 1",
    )
    assert (rows["clip2"].emotion, rows["clip2"].valence, rows["clip2"].transcript) == (None, None, None)
    assert (rows["clip2"].speaker, rows["clip2"].fold, rows["clip2"].has_video) == (None, None, True)
    assert catalogue.known_files(corpus)["/corpus/clip1.mp4"] == KnownFile(
        1001, clip(1).mtime_ns, "clip1", content(1)
    )
    assert [row.name for row in catalogue.clips(corpus)] == sorted(rows)


@pytest.mark.parametrize("named", [1, 5000])
def test_some_clips_by_id(catalogue: Catalogue, corpus: str, named: int) -> None:
    """More ids than a statement takes parameters are no error."""
    catalogue.upsert_clips(corpus, [clip(1), clip(2)])
    asked = ["clip2", *(f"clip{number}" for number in range(10, 9 + named))]
    assert [row.name for row in catalogue.clips(corpus, only=asked)] == ["clip2"]
    assert catalogue.clips(corpus, only=[]) == []


def test_ingesting_again_updates_in_place(catalogue: Catalogue, corpus: str) -> None:
    catalogue.upsert_clips(corpus, [clip(1)])
    catalogue.set_gold_labels(corpus, [("clip1", "angry", 1.0)])
    catalogue.upsert_clips(corpus, [clip(1, speaker="other", size=7)])
    (row,) = catalogue.clips(corpus)
    assert (row.speaker, row.emotion) == ("other", "angry")
    assert catalogue.known_files(corpus)["/corpus/clip1.mp4"].size == 7


@pytest.mark.parametrize("at_once", [True, False])
def test_every_name_is_a_clip_whatever_its_content(catalogue: Catalogue, corpus: str, at_once: bool) -> None:
    copy = clip(1, name="copy", path="/corpus/copy.mp4", speaker="other", split="test", transcript=None)
    for rows in [[clip(1), copy]] if at_once else [[copy], [clip(1)]]:
        catalogue.upsert_clips(corpus, rows)
    catalogue.set_gold_labels(corpus, [("clip1", "angry", 1.0), ("copy", "neutral", None)])
    catalogue.set_recognised("asr", [(content(1), "heard")])
    found = [
        (row.name, row.content, row.speaker, row.split, row.transcript, row.emotion)
        for row in catalogue.clips(corpus, "asr")
    ]
    assert found == [
        ("clip1", content(1), "speaker1", "train", "text of 1", "angry"),
        ("copy", content(1), "other", "test", "heard", "neutral"),
    ]
    assert set(catalogue.known_files(corpus)) == {"/corpus/clip1.mp4", "/corpus/copy.mp4"}
    assert catalogue.contents(corpus) == {"clip1": content(1), "copy": content(1)}


def test_a_name_is_where_it_was_last_seen(catalogue: Catalogue, corpus: str) -> None:
    """A file that its corpus calls otherwise is that clip and no longer the one before; one that has moved is the same."""
    catalogue.upsert_clips(corpus, [clip(1), clip(2)])
    catalogue.upsert_clips(corpus, [clip(1, name="renamed"), clip(2, path="/corpus/moved.mp4")])
    catalogue.forget_files(corpus, ["/corpus/clip2.mp4"])
    assert {row.name: str(row.path) for row in catalogue.clips(corpus)} == {
        "renamed": "/corpus/clip1.mp4", "clip2": "/corpus/moved.mp4",
    }  # fmt: skip


def test_a_transcript_that_the_corpus_takes_back_is_gone(catalogue: Catalogue, corpus: str) -> None:
    catalogue.upsert_clips(corpus, [clip(1), clip(2)])
    catalogue.upsert_clips(corpus, [clip(1, transcript=None)])
    assert [row.transcript for row in catalogue.clips(corpus)] == [None, "text of 2"]


def test_changed_content_replaces_the_clip_at_its_path(catalogue: Catalogue, corpus: str) -> None:
    catalogue.upsert_clips(corpus, [clip(1)])
    catalogue.upsert_clips(corpus, [clip(1, content=content(99))])
    assert [row.content for row in catalogue.clips(corpus)] == [content(99)]


def test_same_content_in_two_corpora_keeps_two_labels(catalogue: Catalogue, corpus: str) -> None:
    catalogue.upsert_corpus("d", "/d", "table", ("calm",))
    for name, emotion in ((corpus, "angry"), ("d", "calm")):
        catalogue.upsert_clips(name, [clip(1)])
        catalogue.set_gold_labels(name, [("clip1", emotion, None)])
    assert [catalogue.clips(name)[0].emotion for name in (corpus, "d")] == ["angry", "calm"]


def test_labels_of_unknown_clips_are_refused_as_a_whole(catalogue: Catalogue, corpus: str) -> None:
    catalogue.upsert_clips(corpus, [clip(1)])
    with pytest.raises(CatalogueError):
        catalogue.set_gold_labels(corpus, [("clip1", "angry", None), ("clip2", "angry", None)])
    assert catalogue.clips(corpus)[0].emotion is None


def test_a_file_is_either_accepted_or_quarantined(catalogue: Catalogue, corpus: str) -> None:
    path = clip(1).path
    catalogue.quarantine(corpus, "clip1", Path(path), "truncated", "moov atom missing")
    assert [(q.path, q.reason) for q in catalogue.quarantined(corpus)] == [(path, "truncated")]
    catalogue.upsert_clips(corpus, [clip(1)])
    assert catalogue.quarantined(corpus) == []
    assert len(catalogue.clips(corpus)) == 1
    catalogue.quarantine(corpus, "clip1", path, "decode_failed", "now broken")
    catalogue.quarantine(corpus, "clip1", path, "empty_file", "now empty")
    assert [q.reason for q in catalogue.quarantined(corpus)] == ["empty_file"]
    assert catalogue.clips(corpus) == []
    catalogue.release(corpus, [path])
    assert catalogue.quarantined(corpus) == []


def test_hostile_names_can_be_quarantined(catalogue: Catalogue, corpus: str) -> None:
    names = ["a;b$(id)", "line\nbreak", "nul\x00", "caf\udce9", "'; DROP TABLE clips; --", "x" * 255]
    for name in names:
        catalogue.quarantine(corpus, name, f"/corpus/{name}", "unsafe_name", name)
    assert len(catalogue.quarantined(corpus)) == len(names)
    catalogue.release(corpus, [f"/corpus/{name}" for name in names])
    assert catalogue.quarantined(corpus) == []


def test_forgotten_files(catalogue: Catalogue, corpus: str) -> None:
    catalogue.upsert_clips(corpus, [clip(1), clip(2)])
    catalogue.forget_files(corpus, [clip(1).path, "/never/seen"])
    assert [row.name for row in catalogue.clips(corpus)] == ["clip2"]


def test_features_by_shard(catalogue: Catalogue) -> None:
    catalogue.register_features("f", ref("s1"), [content(1), content(2)])
    catalogue.register_features("f", ref("s2"), [content(3)])
    catalogue.register_features("other", ref("s3"), [content(1)])
    wanted = [content(n) for n in (1, 3, 4)]
    assert catalogue.features_of("f", wanted) == {content(1): ref("s1"), content(3): ref("s2")}
    catalogue.register_features("f", ref("s1"), [content(1), content(2)])
    catalogue.forget_shard(ref("s1"))
    assert catalogue.features_of("f", wanted) == {content(3): ref("s2")}
    assert catalogue.features_of("other", wanted) == {content(1): ref("s3")}


def test_snapshots_are_named_by_what_they_hold(catalogue: Catalogue, corpus: str) -> None:
    catalogue.upsert_clips(corpus, [clip(1), clip(2)])
    catalogue.set_gold_labels(corpus, [("clip1", "angry", 0.1)])
    before = catalogue.clips(corpus)
    first = catalogue.snapshot(corpus, before)
    assert (first.clip_count, first.labelled_count) == (2, 1)
    assert catalogue.snapshot(corpus, before[::-1]) == first
    assert [member.name for member in catalogue.snapshot_members(first.id)] == ["clip1", "clip2"]
    seen = {first.id}
    for change in ({"speaker": "x"}, {"fold": 4}, {"split": "test"}, {"transcript": "x"}):
        catalogue.upsert_clips(corpus, [clip(1, **change)])
        seen.add(catalogue.snapshot(corpus, catalogue.clips(corpus)).id)
    catalogue.upsert_clips(corpus, [clip(1)])
    catalogue.set_gold_labels(corpus, [("clip1", "angry", 0.2)])
    seen.add(catalogue.snapshot(corpus, catalogue.clips(corpus)).id)
    catalogue.set_gold_labels(corpus, [("clip1", "neutral", 0.1)])
    seen.add(catalogue.snapshot(corpus, catalogue.clips(corpus)).id)
    assert len(seen) == 7
    catalogue.set_gold_labels(corpus, [("clip1", "angry", 0.1)])
    assert catalogue.snapshot(corpus, catalogue.clips(corpus)) == first


def test_artifact_records(catalogue: Catalogue) -> None:
    catalogue.record_artifact(ref("a"), stage="fusion", code_version="1")
    catalogue.record_artifact(ref("b"), stage="layers", code_version="1")
    catalogue.record_artifact(ref("a"), stage="fusion", code_version="2")
    assert [(r.ref, r.code_version) for r in catalogue.artifacts("fusion")] == [(ref("a"), "2")]
    assert len(catalogue.artifacts()) == 2


@pytest.mark.slow
def test_100_000_clips_within_seconds(catalogue: Catalogue, corpus: str) -> None:
    rows = [clip(number) for number in range(100_000)]
    started = time.perf_counter()
    catalogue.upsert_clips(corpus, rows)
    inserted = time.perf_counter()
    catalogue.upsert_clips(corpus, rows)
    upserted = time.perf_counter()
    catalogue.set_gold_labels(corpus, [(row.name, "angry", 1.0) for row in rows])
    labelled = time.perf_counter()
    listed = catalogue.clips(corpus)
    done = time.perf_counter()
    assert len(listed) == len(rows)
    figures = {
        "insert": inserted - started,
        "upsert": upserted - inserted,
        "label": labelled - upserted,
        "list": done - labelled,
    }
    logging.getLogger(__name__).info("100,000 clips, seconds: %s", figures)
    assert max(figures.values()) < 90, (
        figures
    )  # 1-6 s of processor time each; the bound is for a busy machine


def test_migrations_lead_to_the_tables(catalogue: Catalogue) -> None:
    with catalogue.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_opening_again_keeps_everything(catalogue: Catalogue, corpus: str, database_url: str) -> None:
    with open_catalogue(database_url) as again:
        assert again.corpus(corpus).emotions == EMOTIONS


def test_a_schema_of_the_future_is_refused(catalogue: Catalogue, database_url: str) -> None:
    with catalogue.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogueError, match="newer"):
        open_catalogue(database_url)


def test_a_transaction_that_fails_leaves_nothing(catalogue: Catalogue, corpus: str) -> None:
    with pytest.raises(ZeroDivisionError), catalogue.database.writing() as connection:
        connection.execute(text("DELETE FROM corpora"))
        raise ZeroDivisionError
    assert catalogue.corpus(corpus).name == corpus


@pytest.mark.parametrize(
    "url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "no url", "postgresql+psycopg2://x/y"]
)
def test_unsupported_urls(url: str) -> None:
    with pytest.raises(SettingsError):
        open_catalogue(url)


def test_a_locked_catalogue_is_a_typed_transient_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'c.db'}"
    with open_catalogue(url) as holder, open_catalogue(url, timeout_seconds=0.3) as other:
        with holder.database.writing():
            with pytest.raises(CatalogueUnavailable) as caught:
                other.upsert_corpus("c", "/c", "table", EMOTIONS)
            assert caught.value.transient
            assert other.corpora() == []  # readers are not stopped by a writer
        other.upsert_corpus("c", "/c", "table", EMOTIONS)


def test_an_unreachable_server_is_a_typed_error_without_the_password() -> None:
    with pytest.raises(CatalogueUnavailable) as caught:
        open_catalogue("postgresql://mer:planted-secret@127.0.0.1:1/mer", timeout_seconds=2)
    assert "planted-secret" not in str(caught.value)


def test_the_newest_revision_by_file_names_is_alembics_head() -> None:
    from alembic.script import ScriptDirectory

    from infra.catalogue.schema import alembic_config, newest_revision

    assert newest_revision() == ScriptDirectory.from_config(alembic_config()).get_current_head()


def test_a_catalogue_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    open_catalogue(url).close()
    code = (
        "import sys\nfrom infra.catalogue import open_catalogue\n"
        f"open_catalogue({url!r}).close()\nprint('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
