from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect

from infra.catalogue import Catalogue, ClipUpsert, QualityRow, open_catalogue
from infra.catalogue.schema import alembic_config
from infra.errors import CatalogueError


def content(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def row(number: int, **changed: object) -> QualityRow:
    values: dict[str, object] = {
        "content": content(number),
        "method": "1:haar",
        "duration_seconds": 3.0,
        "speech_seconds": 1.5,
        "snr_db": 20.0 + number,
        "face_share": 0.75,
        "brightness": 0.5,
    }
    return QualityRow(**{**values, **changed})  # type: ignore[arg-type]


def add_clips(catalogue: Catalogue, corpus: str, numbers: range) -> None:
    catalogue.upsert_corpus(corpus, root=Path("/corpus"), format="table", emotions=("angry",))
    catalogue.upsert_clips(
        corpus,
        [
            ClipUpsert(
                content=content(n), name=f"clip{n}", path=f"/corpus/{n}.mp4", size=1, mtime_ns=1,
                duration_seconds=3.0, has_audio=True, has_video=True,
            )
            for n in numbers
        ],
    )  # fmt: skip


def test_what_is_stored_is_read(catalogue: Catalogue) -> None:
    add_clips(catalogue, "c", range(3))
    audio_only = row(1, face_share=None, brightness=None)
    catalogue.set_quality([row(0), audio_only])
    assert catalogue.quality("c", "1:haar") == {content(0): row(0), content(1): audio_only}


def test_a_new_measurement_replaces_the_old_one(catalogue: Catalogue) -> None:
    add_clips(catalogue, "c", range(2))
    catalogue.set_quality([row(0), row(1)])
    catalogue.set_quality([row(0, snr_db=5.0)])
    assert catalogue.quality("c", "1:haar") == {content(0): row(0, snr_db=5.0), content(1): row(1)}


def test_measurements_of_another_method_stand_beside(catalogue: Catalogue) -> None:
    add_clips(catalogue, "c", range(2))
    catalogue.set_quality([row(0), row(1)])
    catalogue.set_quality([row(0, method="1:yunet:ebafce4e", face_share=1.0)])
    assert catalogue.quality("c", "1:haar") == {content(0): row(0), content(1): row(1)}
    assert catalogue.quality("c", "1:yunet:ebafce4e") == {
        content(0): row(0, method="1:yunet:ebafce4e", face_share=1.0)
    }
    assert catalogue.quality("c", "1:none") == {}


def test_quality_is_of_the_content_and_seen_through_any_corpus_that_has_it(catalogue: Catalogue) -> None:
    add_clips(catalogue, "c", range(3))
    add_clips(catalogue, "d", range(2, 5))
    catalogue.set_quality([row(n) for n in range(6)])
    assert set(catalogue.quality("c", "1:haar")) == {content(n) for n in range(3)}
    assert set(catalogue.quality("d", "1:haar")) == {content(n) for n in range(2, 5)}
    catalogue.forget_files("c", ["/corpus/0.mp4"])
    assert content(0) not in catalogue.quality("c", "1:haar")


def test_a_value_that_is_no_number_is_none(catalogue: Catalogue) -> None:
    add_clips(catalogue, "c", range(1))
    catalogue.set_quality([row(0, snr_db=float("nan"))])
    assert catalogue.quality("c", "1:haar")[content(0)].snr_db is None


def test_many_rows_at_once(catalogue: Catalogue) -> None:
    add_clips(catalogue, "c", range(500))
    rows = [row(n % 500) for n in range(1000)]
    catalogue.set_quality(rows)
    assert list(catalogue.quality("c", "1:haar").values()) == sorted(rows[:500], key=lambda one: one.content)


def test_an_unknown_corpus_is_an_error(catalogue: Catalogue) -> None:
    with pytest.raises(CatalogueError, match="ingest"):
        catalogue.quality("unknown", "1:haar")


def test_a_catalogue_of_the_first_schema_is_brought_up_to_date_and_back(
    catalogue: Catalogue, database_url: str
) -> None:
    add_clips(catalogue, "c", range(2))
    config = alembic_config()
    with catalogue.database.writing() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    with catalogue.database.reading() as connection:
        assert "clip_quality" not in inspect(connection).get_table_names()
    with open_catalogue(database_url) as again:
        assert len(again.clips("c")) == 2
        again.set_quality([row(0)])
        assert set(again.quality("c", "1:haar")) == {content(0)}


def test_measurements_of_an_older_home_stay_and_of_several_methods_one_goes_back(
    catalogue: Catalogue,
) -> None:
    add_clips(catalogue, "c", range(2))
    catalogue.set_quality([row(0), row(1), row(0, method="1:yunet:ebafce4e")])
    config = alembic_config()
    with catalogue.database.writing() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0007")
        methods = connection.exec_driver_sql("SELECT content, method FROM clip_quality").all()
    assert dict(map(tuple, methods)) == {content(0): "1:yunet:ebafce4e", content(1): "1:haar"}
    with catalogue.database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    assert catalogue.quality("c", "1:haar") == {content(1): row(1)}
    catalogue.set_quality([row(0)])
    assert set(catalogue.quality("c", "1:yunet:ebafce4e")) == {content(0)}
