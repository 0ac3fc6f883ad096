"""The two lists of bad inputs: each file is refused with its reason, or read, in a process of its own that stays small."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_media import Answered, Refused, write_answered, write_refused

from mer.errors import MediaError
from mer.media.contained import ContainedMedia
from mer.media.sniff import printable

REFUSED = (
    "empty", "random", "header_only", "no_index", "subtitles_only", "cut_at_10", "cut_at_50_mov", "cut_at_90", "cut_at_50_wav",
    "cut_at_50_avi", "cut_at_30", "cut_at_70", "cut_at_20", "cut_at_40", "cut_at_60", "huge", "260_megahertz", "ten_hours",
    "playlist", "concat", "session", "dash", "references", "system_file", "a\\nb", "x", "=cmd", "pipe",
)  # fmt: skip
ANSWERED = (
    "eight_channels", "8_kilohertz", "192_kilohertz", "silence", "tone", "antiphase", "1_millisecond", "pictures_only",
    "one_frame", "black", "two_faces", "no_rate", "variable_rate", "back_and_forth", "trimmed_mp4", "trimmed_mov", "trimmed_m4a",
    "sound_caf", "sound_oga", "sound_amr", "sound_aac", "sound_opus", "sound_aiff", "sound_au", "sound_wma", "film_m2ts",
    "film_mts", "film_3gp", "film_m4v", "film_flv", "film_mpg", "film_webm", "matroska", "gif", "-i", "a;b$(id)", "caf\\udce9",
    "😀",
)  # fmt: skip


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> list[Refused]:
    return write_refused(tmp_path_factory.mktemp("refused"))


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> list[Answered]:
    return write_answered(tmp_path_factory.mktemp("answered"))


@pytest.fixture(scope="module")
def contained() -> Iterator[ContainedMedia]:
    with ContainedMedia() as opened:
        yield opened


def _one(items: list[Refused] | list[Answered], begin: str) -> Refused | Answered:
    (item,) = [item for item in items if printable(item.path.name).startswith(begin)]
    return item


def _check_cost(contained: ContainedMedia, started: float) -> None:
    assert time.monotonic() - started < 30
    for process in contained.process_ids:
        status = Path(f"/proc/{process}/status").read_text()
        assert int(status.partition("VmHWM:")[2].split()[0]) < 1 << 20, "more than 1 GiB"


def test_the_lists_are_complete(refused: list[Refused], answered: list[Answered]) -> None:
    assert (len(refused), len(answered)) == (len(REFUSED), len(ANSWERED)) == (28, 38)


@pytest.mark.parametrize("begin", REFUSED)
def test_it_is_refused_with_its_reason(refused: list[Refused], contained: ContainedMedia, begin: str) -> None:
    item = _one(refused, begin)
    assert isinstance(item, Refused)
    started = time.monotonic()
    with pytest.raises(MediaError) as caught:
        contained.probe(item.path)
    assert caught.value.reason in item.reasons
    assert not caught.value.transient
    for read in (contained.decode_audio, lambda path: contained.sample_frames(path, 4)):
        try:  # a stream of a file that was not probed may be read; it must cost no more
            read(item.path)
        except MediaError as error:
            assert not error.transient
    _check_cost(contained, started)


@pytest.mark.parametrize("begin", ANSWERED)
def test_it_is_read(answered: list[Answered], contained: ContainedMedia, begin: str) -> None:
    item = _one(answered, begin)
    assert isinstance(item, Answered)
    started = time.monotonic()
    found = contained.probe(item.path)
    assert (found.has_audio, found.has_video) == (item.has_audio, item.has_video)
    assert found.duration_seconds > 0
    if item.has_audio:
        assert contained.decode_audio(item.path).size > 0
    if item.has_video:
        assert contained.sample_frames(item.path, 4).shape[0] == 4
    _check_cost(contained, started)
