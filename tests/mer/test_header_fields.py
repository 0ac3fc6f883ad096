"""Fields of headers that lie, in every format that users hand us: data, or an error of ours; never anything else."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from header_fields import READERS, Change, changed, changes
from hypothesis import HealthCheck, given, settings
from made_media import make

from mer.corpora.contained_reader import read_contained
from mer.errors import MediaError, MerError
from mer.media.contained import ContainedMedia

MEDIA = ("mp4", "mov", "mkv", "avi", "wav", "flac", "ogg", "mp3", "aiff", "webm")
CONTAINED = {"pickle", "npz"}


@pytest.fixture(scope="module")
def media() -> Iterator[ContainedMedia]:
    with ContainedMedia() as workers:
        yield workers


@pytest.fixture(scope="module")
def sound_clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sound")
    return {suffix: make(folder / f"x.{suffix}", 0.5).read_bytes() for suffix in MEDIA}


def _read(content: bytes, name: str, read: Callable[[Path], Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            read(path)
        except MerError as error:
            assert str(error)


def _examples(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.mark.parametrize("name", READERS)
def test_the_sound_file_is_read(name: str) -> None:
    content, file, read = READERS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_bytes(content)
        read(path)


@pytest.mark.parametrize("name", READERS)
@given(fields=changes)
@_examples(60)
def test_any_field_of_a_header(name: str, fields: list[Change]) -> None:
    content, file, read = READERS[name]
    _read(changed(content, fields), file, read)


@pytest.mark.nightly
@pytest.mark.parametrize("name", READERS)
@given(fields=changes)
@_examples(5_000)
def test_many_fields_of_headers(name: str, fields: list[Change]) -> None:
    content, file, read = READERS[name]
    _read(changed(content, fields), file, read)


@pytest.mark.parametrize("name", [name for name in READERS if name in CONTAINED])
@given(fields=changes)
@_examples(5)
def test_fields_in_the_contained_process(name: str, fields: list[Change]) -> None:
    content, file, _ = READERS[name]
    _read(changed(content, fields), file, lambda path: read_contained(name, path))


def _table(kind: str, folder: Path) -> bytes:
    path = folder / f"x.{kind}"
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"name": ["a", "b"], "emotion": ["sad", "happy"]}), path)
    else:
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        book.active.append(["name", "emotion"])
        book.active.append(["a", "sad"])
        book.save(path)
    return path.read_bytes()


def _check_tables(kind: str, suffix: str, folder: Path, fields: list[Change]) -> None:
    _read(changed(_table(suffix, folder), fields), f"x.{suffix}", lambda path: read_contained(kind, path))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "suffix"), [("parquet", "parquet"), ("workbook", "xlsx")])
@given(fields=changes)
@_examples(15)
def test_fields_of_tables(kind: str, suffix: str, tmp_path: Path, fields: list[Change]) -> None:
    _check_tables(kind, suffix, tmp_path, fields)


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "suffix"), [("parquet", "parquet"), ("workbook", "xlsx")])
@given(fields=changes)
@_examples(300)
def test_many_fields_of_tables(kind: str, suffix: str, tmp_path: Path, fields: list[Change]) -> None:
    _check_tables(kind, suffix, tmp_path, fields)


def _check_clip(content: bytes, suffix: str, media: ContainedMedia) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x.{suffix}"
        path.write_bytes(content)
        started = time.monotonic()
        try:
            found = media.probe(path)
            if found.has_audio:
                media.decode_audio(path)
            if found.has_video:
                media.sample_frames(path, 2)
        except MediaError as error:
            assert error.reason
        assert time.monotonic() - started < 60, "within 30 s each, on a busy machine"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", MEDIA)
@given(fields=changes)
@_examples(12)
def test_fields_of_media(
    suffix: str, sound_clips: dict[str, bytes], media: ContainedMedia, fields: list[Change]
) -> None:
    _check_clip(changed(sound_clips[suffix], fields), suffix, media)


@pytest.mark.nightly
@pytest.mark.parametrize("suffix", MEDIA)
@given(fields=changes)
@_examples(600)
def test_many_fields_of_media(
    suffix: str, sound_clips: dict[str, bytes], media: ContainedMedia, fields: list[Change]
) -> None:
    _check_clip(changed(sound_clips[suffix], fields), suffix, media)


@pytest.mark.parametrize("name", ["jsonl texts", "emobox", "predictions jsonl"])
def test_brackets_alone(name: str) -> None:
    _, file, read = READERS[name]
    _read(b"[" * 200_000 + b"\n", file, read)
