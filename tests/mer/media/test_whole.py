"""Half a file is truncated, whatever the container; where nothing is declared, the part that is there is a clip."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bad_media import reason_of
from made_media import FILM, SOUND, UNDECLARED, cut_off, ffmpeg, make, make_film, make_sound, pictures, tone

from mer.errors import MediaError, QuarantineReason
from mer.media.audio import decode_audio
from mer.media.frames import sample_frames
from mer.media.probe import probe
from mer.media.sniff import sniff
from mer.media.whole import check_whole

KINDS = sorted({*SOUND, *FILM})
DECLARED = [kind for kind in KINDS if kind not in UNDECLARED]
IN_PIPES = ("wav", "flac", "mp3", "au", "caf", "matroska", "webm", "avi", "flv", "asf")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """whole(kind): a file of 2 s in that container, made once."""
    folder = tmp_path_factory.mktemp("whole")

    def made(kind: str) -> Path:
        path = folder / f"whole.{kind}"
        return path if path.exists() else make(path)

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_read_in_every_container(whole: Callable[[str], Path], kind: str) -> None:
    path = whole(kind)
    found = probe(path)
    assert (found.has_audio, found.has_video) == (True, kind in FILM)
    assert found.duration_seconds == pytest.approx(2.0, abs=0.2)
    assert decode_audio(path).size / 16_000 == pytest.approx(2.0, abs=0.2)
    if kind in FILM:
        assert sample_frames(path, 3).std() > 10


@pytest.mark.parametrize("percent", range(10, 100, 10))
@pytest.mark.parametrize("kind", DECLARED)
def test_a_part_of_a_file_is_truncated(
    tmp_path: Path, whole: Callable[[str], Path], kind: str, percent: int
) -> None:
    path = cut_off(whole(kind), tmp_path / f"cut.{kind}", percent)
    assert reason_of(probe, path) is QuarantineReason.TRUNCATED
    assert reason_of(decode_audio, path) is QuarantineReason.TRUNCATED


@pytest.mark.parametrize(("lost", "reason"), [(1, None), (2, QuarantineReason.TRUNCATED)])
def test_a_gif_without_its_trailer_is_whole_if_its_blocks_are(
    tmp_path: Path, lost: int, reason: QuarantineReason | None
) -> None:
    """The last two bytes are the terminator of the last block, and the trailer."""
    path = tmp_path / "a.gif"
    ffmpeg(*pictures(1.0, 32), path)
    frames = sample_frames(path, 3)
    content = path.read_bytes()
    assert content.endswith(b"\0\x3b")
    path.write_bytes(content[:-lost])
    assert reason_of(probe, path) is reason
    if reason is None:
        np.testing.assert_array_equal(sample_frames(path, 3), frames)


@pytest.mark.parametrize("percent", [30, 70])
@pytest.mark.parametrize("kind", sorted(UNDECLARED))
def test_of_a_raw_stream_the_part_that_is_there_is_a_clip(
    tmp_path: Path, whole: Callable[[str], Path], kind: str, percent: int
) -> None:
    path = cut_off(whole(kind), tmp_path / f"cut.{kind}", percent)
    assert 0.1 < probe(path).duration_seconds < 1.95
    assert 0.1 < decode_audio(path).size / 16_000 < 1.8


@pytest.mark.parametrize("kind", sorted({*DECLARED, "gif"}))
def test_a_damaged_header_raises_nothing_else(
    tmp_path: Path, whole: Callable[[str], Path], kind: str
) -> None:
    """Sizes that no file has, tables that end nowhere, nothing behind the magic number."""
    source = whole(kind) if kind != "gif" else tmp_path / "whole.gif"
    if kind == "gif":
        ffmpeg(*pictures(1.0, 32), source)
    content, generator = source.read_bytes()[:20_000], np.random.default_rng(11)
    path = tmp_path / f"damaged.{kind}"
    for number in range(150):
        damaged = bytearray(content[: generator.integers(12, 300)] if number % 3 == 0 else content)
        for place in generator.integers(4, min(len(damaged), 200), size=1 + number % 9):
            damaged[place] = (0, 255, int(generator.integers(256)))[number % 3]
        path.write_bytes(damaged)
        with contextlib.suppress(MediaError):
            check_whole(path, sniff(path))


@pytest.mark.parametrize("kind", IN_PIPES)
def test_a_file_out_of_a_pipe_declares_nothing_and_is_whole(tmp_path: Path, kind: str) -> None:
    """Its header says 0, or a largest number."""
    film = kind in {"matroska", "webm", "avi", "flv", "asf"}
    rate = ("-ar", "44100") if kind == "flv" else ()
    fast = ("-deadline", "realtime", "-cpu-used", "8") if kind == "webm" else ()
    path = tmp_path / f"piped.{kind}"
    path.write_bytes(ffmpeg(*(pictures(2) if film else ()), *tone(2.0), *rate, *fast, "-f", kind, "-"))
    assert probe(path).duration_seconds == pytest.approx(2.0, abs=0.2)
    assert decode_audio(path).size / 16_000 == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFF_F024])
def test_a_wav_with_sizes_that_mean_nothing(tmp_path: Path, size: int) -> None:
    path = make_sound(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    for place in (4, content.index(b"data") + 4):
        content[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert probe(path).duration_seconds == pytest.approx(2.0, abs=0.01)
    assert decode_audio(path).size == pytest.approx(32_000, abs=40)


def test_rf64(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    ffmpeg(*tone(2.0), "-rf64", "always", path)
    assert decode_audio(path).size == 32_000
    assert reason_of(probe, cut_off(path, tmp_path / "cut.wav", 50)) is QuarantineReason.TRUNCATED


def test_a_header_that_is_wrong_by_its_own_length_loses_nothing(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = (int.from_bytes(content[place : place + 4], "little") + 44).to_bytes(
        4, "little"
    )
    path.write_bytes(content)
    assert reason_of(probe, path) is None


def test_chunks_after_the_sound_may_be_lost(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    content[4:8] = (len(content) + 5000).to_bytes(4, "little")  # a list of tags that is gone
    path.write_bytes(content)
    assert decode_audio(path).size == 32_000


@pytest.mark.parametrize("tagged", ["flac", "aac", "mp3"])
def test_a_tag_in_front_hides_no_container(tmp_path: Path, tagged: str) -> None:
    path = make_sound(tmp_path / f"a.{tagged}")
    path.write_bytes(b"ID3\x04\x00\x00\x00\x00\x10\x00" + bytes(2048) + path.read_bytes().removeprefix(b""))
    assert probe(path).container == tagged
    assert decode_audio(path).size / 16_000 == pytest.approx(2.0, abs=0.2)


def test_an_mp3_without_a_declaration_is_no_cut_file_however_its_rate_varies(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "aevalsrc=if(lt(t\\,1)\\,random(0)\\,0):s=16000:d=8",
        "-q:a",
        "0",
        "-write_xing",
        "0",
        path,
    )
    assert probe(path).duration_seconds == pytest.approx(8.0, abs=0.2)


def test_damaged_frames_of_a_flac_are_no_cut(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.flac", 8.0)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(20)
    path.write_bytes(content)
    assert reason_of(decode_audio, path) in {None, QuarantineReason.TRUNCATED}
    samples, _ = soundfile.read(make_sound(tmp_path / "b.flac", 1.0))
    assert samples.size == 16_000


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_a_fragmented_mp4_is_cut_too(tmp_path: Path, percent: int) -> None:
    path = make_film(tmp_path / "a.mp4")
    ffmpeg("-i", path, "-c", "copy", "-movflags", "frag_keyframe+empty_moov", tmp_path / "fragmented.mp4")
    assert reason_of(probe, tmp_path / "fragmented.mp4") is None
    cut = cut_off(tmp_path / "fragmented.mp4", tmp_path / "cut.mp4", percent)
    assert reason_of(probe, cut) is QuarantineReason.TRUNCATED


@pytest.mark.parametrize("kind", ["mkv", "mp4", "mov", "avi"])
def test_another_stream_may_last_longer(tmp_path: Path, kind: str) -> None:
    """Subtitles to the end of the film, or a second language: the first sound and the pictures are whole."""
    path = tmp_path / f"two.{kind}"
    ffmpeg(*pictures(2), *tone(2), *tone(8), "-map", "0", "-map", "1", "-map", "2", "-threads", "1", path)
    assert probe(path).duration_seconds == pytest.approx(2.0, abs=0.2)
    with pytest.raises(MediaError, match="was cut"):
        probe(cut_off(path, tmp_path / f"half.{kind}", 50))


def test_subtitles_may_last_longer(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:09,000\nhello\n")
    path = tmp_path / "film.mkv"
    ffmpeg(*pictures(2), *tone(2), "-i", tmp_path / "a.srt", "-threads", "1", path)
    assert probe(path).duration_seconds == pytest.approx(2.0, abs=0.2)
