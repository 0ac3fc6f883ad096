"""Everything a stranger's folder can hold: a typed error or a usable result, quickly, and never a connection.

The project's list of bad inputs, and the test of each (here, or in the file named):

| bad input | test |
| --- | --- |
| 0 bytes; random bytes; header only | `test_rubbish` |
| moov missing | `test_an_mp4_without_its_index_is_truncated` |
| cut at 10-90 % | `test_an_mp4_cut_anywhere_is_truncated` |
| audio only | `test_audio_without_a_picture_is_a_clip` |
| video only | `test_a_picture_without_audio_is_a_clip` |
| 1 frame | `test_one_frame_is_a_clip` |
| 16000 x 16000 | `test_a_huge_picture_is_refused_within_little_memory` |
| ten hours declared | `test_ten_hours_declared_in_the_header_are_not_believed` |
| 0 fps | `test_a_frame_rate_of_zero` |
| VFR | `test_frames.py::test_a_variable_frame_rate_is_sampled_by_time_not_by_number` |
| non-monotonic pts | `test_time_stamps_that_go_back_and_forth` |
| 8 channels | `test_audio.py::test_eight_planar_channels` |
| 8 kHz; 192 kHz | `test_unusual_rates_and_channels_are_read` |
| silence; black | `test_silence_and_black_are_clips` |
| no face | `test_faces.py::test_no_face_gives_the_whole_picture_and_a_flag` |
| two faces | `test_faces.py::test_yunet_finds_one_face_and_two` |
| mkv renamed .mp4 | `test_matroska_renamed_is_read_for_what_it_is` |
| gif renamed .mp4 | `test_a_gif_is_no_clip` |
| m3u8, ffconcat, SDP renamed .mp4 | `test_nothing_in_a_file_opens_a_connection` |
| names `-i.mp4`, `a;b$(id)`, a newline | `test_unsafe_names_are_refused_before_the_file_is_opened` |
| name `../x` | `../corpora/test_table.py::test_formulas_and_unsafe_names_are_left_out_and_kept_as_text_elsewhere` |
| names of 255 bytes, non-UTF-8 | `test_long_and_non_utf8_names` |
| symlink to a system file | `test_a_link_to_a_system_file_is_not_media` |
| FIFO | `test_fifo_folder_device_and_absent_file` |
| a batch goes on, 30 s, 1 GiB, no traceback | `test_a_folder_of_bad_files_costs_little_and_the_batch_goes_on` |
| CSV: BOM, CRLF | `../corpora/test_table.py::test_spreadsheet_dialects_read_the_same` |
| CSV: unknown class | `../corpora/test_table.py::test_all_problems_are_reported_together_with_their_rows` |
| CSV: name with two labels | `../corpora/test_table.py::test_contradicting_rows_take_the_clip_out_and_repeated_ones_do_not` |
| CSV: `=cmd()` | `../corpora/test_table.py::test_formulas_and_unsafe_names_are_left_out_and_kept_as_text_elsewhere` |
| CSV: NaN valence | `../corpora/test_table.py::test_every_column` |
| CSV: absent clip | `../corpora/test_table.py::test_media_without_a_row_are_unlabelled_and_rows_without_media_are_left_out` |
| weights: pickle .bin | `../encoders/test_weights.py::test_pickled_weights_are_refused` |
| weights: safetensors with a lying header | `../encoders/test_weights.py::test_lying_header_is_refused` |
| weights: config with `auto_map` | `../encoders/test_weights.py::test_configuration_that_asks_for_code_is_refused` |
| YAML with tags | `../recipes/test_recipe.py::test_what_is_no_recipe_is_refused` |
| YAML with an anchor bomb | `../recipes/test_recipe.py::test_an_anchor_bomb_is_refused_at_once` |
| object keys with `..` | `../../infra/test_objects.py::test_keys_that_are_not_plain_are_refused` |
| npz holding a pickle that would run code | `../features/test_precomputed.py::test_archive_named_npy_is_refused` |
"""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from mer.demo.clip_file import write_clip
from mer.errors import MediaError, QuarantineReason
from mer.media.audio import decode_audio
from mer.media.contained import ContainedMedia
from mer.media.frames import sample_frames
from mer.media.probe import probe

Make = Callable[..., np.ndarray]
READERS: tuple[Callable[[Path], object], ...] = (probe, decode_audio, lambda path: sample_frames(path, 4))


def reason_of(read: Callable[[Path], object], path: Path) -> QuarantineReason | None:
    """Reason the reader refuses the file with, None where it reads it; anything but a MediaError fails the test."""
    started = time.monotonic()
    try:
        read(path)
    except MediaError as error:
        return error.reason
    finally:
        assert time.monotonic() - started < 30
    return None


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", QuarantineReason.EMPTY_FILE),
        (b"just a note\n" * 100, QuarantineReason.NOT_MEDIA),
        (np.random.default_rng(1).bytes(20_000), QuarantineReason.NOT_MEDIA),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", QuarantineReason.TRUNCATED),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(5000), QuarantineReason.TRUNCATED),
    ],
    ids=["empty", "text", "random", "header only", "header and zeros"],
)
def test_rubbish(
    tmp_path: Path, read: Callable[[Path], object], content: bytes, reason: QuarantineReason
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert reason_of(read, path) is reason


def test_every_bad_input_of_the_table_above_has_its_test() -> None:
    named = re.findall(r"`(?:([\w./]+)::)?(test_\w+)` \|", __doc__ or "")
    assert len(named) == (__doc__ or "").count("\n|") - 2 > 30
    here = Path(__file__)
    for file, test in named:
        assert f"def {test}(" in (here.parent / (file or here.name)).read_text(), (file, test)


def test_an_mp4_without_its_index_is_truncated(tmp_path: Path, movie: Path) -> None:
    whole = movie.read_bytes()
    path = tmp_path / "clip.mp4"
    path.write_bytes(
        whole[: whole.index(b"moov") - 4]
    )  # a recording that was not finished: whole boxes, no index
    assert {reason_of(read, path) for read in READERS} == {QuarantineReason.TRUNCATED}


def test_audio_without_a_picture_is_a_clip(tmp_path: Path, movie: Path) -> None:
    path = tmp_path / "sound.mp4"
    keep_streams(movie, path, "audio")
    found = probe(path)
    assert (found.has_audio, found.has_video) == (True, False)
    assert decode_audio(path).size == decode_audio(movie).size
    assert reason_of(lambda clip: sample_frames(clip, 4), path) is QuarantineReason.NO_USABLE_STREAM


def test_a_picture_without_audio_is_a_clip(tmp_path: Path, movie: Path) -> None:
    path = tmp_path / "film.mp4"
    keep_streams(movie, path, "video")
    found = probe(path)
    assert (found.has_audio, found.has_video, found.video_frames) == (False, True, 20)
    np.testing.assert_array_equal(sample_frames(path, 4), sample_frames(movie, 4))
    assert reason_of(decode_audio, path) is QuarantineReason.NO_AUDIO


def test_one_frame_is_a_clip(tmp_path: Path, counting_frames: Make, tone: Make) -> None:
    path = tmp_path / "one.mp4"
    write_clip(path, counting_frames(1), 10, tone(1.0), 16_000)
    assert (probe(path).video_frames, probe(path).fps) == (1, None)
    assert probe(path).duration_seconds == pytest.approx(1.0, abs=0.15)
    assert sample_frames(path, 5).shape == (5, 64, 64, 3)


@pytest.mark.parametrize("suffix", ["avi", "mp4"])
def test_a_frame_rate_of_zero(tmp_path: Path, counting_frames: Make, suffix: str) -> None:
    """The rate of the header is 0: refused with a reason, or read by the stamps of its packets."""
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for picture in counting_frames(10):
            sink.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        sink.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    place = content.index(b"strh") + 8 + 24 if suffix == "avi" else content.index(b"mdhd") + 4 + 12
    content[place : place + 4] = bytes(4)  # the stream header's dwRate; the time scale of the track
    path.write_bytes(content)
    found = {reason_of(read, path) for read in READERS}
    assert found <= {
        None,
        QuarantineReason.NO_AUDIO,
        QuarantineReason.DECODE_FAILED,
        QuarantineReason.NO_USABLE_STREAM,
        QuarantineReason.TOO_LONG,
    }
    if reason_of(probe, path) is None:
        assert sample_frames(path, 10).mean() == pytest.approx(counting_frames(10).mean(), abs=3)


def test_time_stamps_that_go_back_and_forth(tmp_path: Path, counting_frames: Make) -> None:
    """Frame n claims to be shown at another time than the order of coding has it: the claim counts."""
    path = tmp_path / "a.mkv"
    order = [3, 0, 1, 4, 2, 7, 5, 9, 8, 6]
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        packets = [
            packet
            for picture in counting_frames(10)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
        ]
        for number, packet in enumerate(packets):
            packet.time_base = Fraction(1, 1000)
            packet.pts, packet.dts = 1000 + 100 * order[number], number
            packet.stream = stream
            sink.mux(packet)
    found = probe(path)
    assert found.video_frames == 10
    assert 0.8 < found.duration_seconds < 1.2
    frames = sample_frames(path, 5)
    shown_at = {stamp: number for number, stamp in enumerate(order)}
    assert [round(float(frame.mean()) / 8) for frame in frames] == [shown_at[n] for n in (1, 3, 5, 7, 9)]


@pytest.mark.parametrize("percent", range(10, 100, 10))
def test_an_mp4_cut_anywhere_is_truncated(tmp_path: Path, movie: Path, percent: int) -> None:
    whole = movie.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * percent // 100])
    assert {reason_of(read, path) for read in READERS} == {QuarantineReason.TRUNCATED}


@pytest.mark.parametrize("percent", [20, 50, 80])
def test_a_cut_mp4_with_its_index_in_front_is_truncated_too(
    tmp_path: Path, movie: Path, percent: int
) -> None:
    streaming = tmp_path / "streaming.mp4"
    with (
        av.open(str(movie)) as source,
        av.open(str(streaming), "w", options={"movflags": "faststart"}) as sink,
    ):
        streams = {stream.index: sink.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                sink.mux(packet)
    assert reason_of(probe, streaming) is None
    whole = streaming.read_bytes()
    assert whole.index(b"moov") < whole.index(b"mdat")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * percent // 100])
    assert reason_of(probe, cut) is QuarantineReason.TRUNCATED


@pytest.mark.parametrize("percent", [30, 60])
@pytest.mark.parametrize("suffix", ["flac", "wav", "ogg", "mp3"])
def test_cut_audio_is_refused_or_its_readable_part_is_read(
    tmp_path: Path, tone: Make, suffix: str, percent: int
) -> None:
    path = tmp_path / f"cut.{suffix}"
    soundfile.write(path, tone(4.0), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * percent // 100])
    assert reason_of(probe, path) in {None, QuarantineReason.TRUNCATED, QuarantineReason.DECODE_FAILED}
    if reason_of(decode_audio, path) is None:
        assert 0 < decode_audio(path).size <= 4 * 16_000


def test_flipped_bytes_cost_no_more_than_their_frames(tmp_path: Path, movie: Path) -> None:
    generator = np.random.default_rng(3)
    whole = movie.read_bytes()
    media_data = whole.index(b"mdat") + 8
    for round_ in range(12):
        broken = bytearray(whole)
        for place in generator.integers(media_data, whole.index(b"moov") - 8, size=40):
            broken[place] ^= 0xFF
        path = tmp_path / f"flipped{round_}.mp4"
        path.write_bytes(broken)
        for read in READERS:
            assert reason_of(read, path) in {
                None,
                QuarantineReason.DECODE_FAILED,
                QuarantineReason.NO_USABLE_STREAM,
                QuarantineReason.TRUNCATED,
            }


def test_a_damaged_index_never_escapes_as_another_error(tmp_path: Path, movie: Path) -> None:
    generator = np.random.default_rng(4)
    whole = movie.read_bytes()
    index = whole.index(b"moov")
    for round_ in range(40):
        broken = bytearray(whole)
        for place in generator.integers(index + 4, len(whole), size=6):
            broken[place] = generator.integers(256)
        path = tmp_path / f"index{round_}.mp4"
        path.write_bytes(broken)
        for read in READERS:
            reason_of(read, path)


def test_a_gif_is_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
    )
    assert reason_of(probe, path) is QuarantineReason.NOT_MEDIA


def test_matroska_renamed_is_read_for_what_it_is(tmp_path: Path, movie: Path) -> None:
    path = tmp_path / "renamed.mp4"
    with av.open(str(movie)) as source, av.open(str(path), "w", format="matroska") as sink:
        streams = {stream.index: sink.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                sink.mux(packet)
    found = probe(path)
    assert (found.container, found.has_audio, found.video_frames) == ("matroska", True, 20)


def keep_streams(source_path: Path, path: Path, kind: str) -> None:
    """Copy the streams of one kind."""
    with av.open(str(source_path)) as source, av.open(str(path), "w") as sink:
        kept = [stream for stream in source.streams if stream.type == kind]
        streams = {stream.index: sink.add_stream_from_template(stream) for stream in kept}
        for packet in source.demux(kept):
            if packet.size:
                packet.stream = streams[packet.stream_index]
                sink.mux(packet)


@pytest.fixture
def canary() -> Iterator[tuple[int, list[object]]]:
    """A listening socket that notes every connection."""
    seen: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                try:
                    connection, address = server.accept()
                except TimeoutError:
                    continue
                seen.append(address)
                connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        yield server.getsockname()[1], seen
        stop.set()
        thread.join()


def test_nothing_in_a_file_opens_a_connection(tmp_path: Path, canary: tuple[int, list[object]]) -> None:
    port, seen = canary
    contents = {
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.mp4'\n",
        "session": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
        "dash": f"<?xml version='1.0'?><MPD><BaseURL>http://127.0.0.1:{port}/</BaseURL></MPD>",
    }
    for name, text in contents.items():
        for suffix in (".mp4", ".wav", ".m3u8"):
            path = tmp_path / (name + suffix)
            path.write_text(text)
            assert {reason_of(read, path) for read in READERS} == {QuarantineReason.UNSAFE_CONTAINER}
    socket.create_connection(("127.0.0.1", port)).close()  # the canary itself is alive
    time.sleep(0.3)
    assert len(seen) == 1


@pytest.mark.parametrize("name", ["-i.mp4", "a;b$(id).mp4", "a\nb.mp4", "=cmd().mp4"])
def test_unsafe_names_are_refused_before_the_file_is_opened(tmp_path: Path, name: str, movie: Path) -> None:
    path = tmp_path / name
    path.write_bytes(movie.read_bytes())
    assert {reason_of(read, path) for read in READERS} == {QuarantineReason.UNSAFE_NAME}


def test_long_and_non_utf8_names(tmp_path: Path, movie: Path) -> None:
    for name in (b"x" * 251 + b".mp4", b"caf\xe9.mp4"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_bytes(movie.read_bytes())
        assert {reason_of(read, path) for read in READERS} == {QuarantineReason.UNSAFE_NAME}


def test_a_link_to_a_system_file_is_not_media(tmp_path: Path) -> None:
    """Corpora refuse links that lead out of them (test_recognise.py); here nothing of the target is told."""
    path = tmp_path / "clip.mp4"
    path.symlink_to("/etc/passwd")
    for read in READERS:
        with pytest.raises(MediaError) as caught:
            read(path)
        assert caught.value.reason is QuarantineReason.NOT_MEDIA
        assert "root" not in str(caught.value)


def test_fifo_folder_device_and_absent_file(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.mp4"
    os.mkfifo(fifo)
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    device = tmp_path / "device.mp4"
    device.symlink_to("/dev/zero")
    for read in READERS:
        for path in (fifo, folder, device):
            assert reason_of(read, path) is QuarantineReason.NOT_A_REGULAR_FILE
        assert reason_of(read, tmp_path / "absent.mp4") is QuarantineReason.MISSING_MEDIA


def _huge_picture(path: Path, width_in_header: int) -> None:
    """Write a mov file of one PNG picture of 16000 x 16000 black pixels, 32 kB in all."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(2001)) for _ in range(16_000)) + packer.flush()
    header = struct.pack(">IIBBBBB", 16_000, 16_000, 1, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    with av.open(str(path), "w", format="mov") as sink:
        stream = sink.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 160, "monob"
        packet = av.Packet(png)
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 25)
        sink.mux(packet)
    content = bytearray(path.read_bytes())
    entry = content.index(b"stsd") + 16  # version, flags, count, then the size and name of the sample entry
    content[entry + 28 : entry + 32] = struct.pack(">HH", width_in_header, width_in_header)
    path.write_bytes(content)


@pytest.mark.parametrize("width", [16_000, 160])
def test_a_huge_picture_is_refused_within_little_memory(tmp_path: Path, width: int) -> None:
    """Declared by the header, or hidden behind a small one: the decoder itself has the limit."""
    path = tmp_path / "huge.mp4"
    _huge_picture(path, width)
    script = (
        "import sys; from pathlib import Path; from mer.media.probe import probe; from mer.errors import MediaError\n"
        "try: probe(Path(sys.argv[1]))\n"
        "except MediaError as error: print(error.reason.value)\n"
        # not getrusage: its peak is inherited from the process that forked this one
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(int(peak.split()[1]) // 1024)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True, text=True, check=True, timeout=60, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    found, mebibytes = ran.stdout.split()
    assert found in {"too_large", "no_usable_stream"}
    assert int(mebibytes) < 256


def test_ten_hours_declared_in_the_header_are_not_believed(tmp_path: Path, movie: Path) -> None:
    content = bytearray(movie.read_bytes())
    for box in (b"mvhd", b"mdhd"):
        place = content.index(box) + 4 + 12  # version 0: flags, two times, then time scale and duration
        scale = int.from_bytes(content[place : place + 4], "big")
        content[place + 4 : place + 8] = (36_000 * scale).to_bytes(4, "big")
    path = tmp_path / "long.mp4"
    path.write_bytes(content)
    assert probe(path).duration_seconds == pytest.approx(2.0, abs=0.15)
    assert len(sample_frames(path, 4)) == 4


def test_ten_hours_by_the_time_stamps_are_too_long(tmp_path: Path, movie: Path) -> None:
    """Twenty frames, the last one ten hours after the others."""
    path = tmp_path / "long.mkv"
    with av.open(str(movie)) as source, av.open(str(path), "w") as sink:
        video = source.streams.video[0]
        stream = sink.add_stream_from_template(video)
        packets = [packet for packet in source.demux(video) if packet.size]
        packets[-1].pts = packets[-1].dts = packets[-1].pts + round(36_000 / packets[-1].time_base)
        for packet in packets:
            packet.stream = stream
            sink.mux(packet)
    assert reason_of(probe, path) is QuarantineReason.TOO_LONG
    assert sample_frames(path, 4).shape == (4, 64, 64, 3)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 8), (192_000, 2), (44_100, 6)])
def test_unusual_rates_and_channels_are_read(tmp_path: Path, tone: Make, rate: int, channels: int) -> None:
    path = tmp_path / "odd.wav"
    soundfile.write(path, np.repeat(tone(1.0, rate=rate)[:, None], channels, axis=1), rate)
    assert (probe(path).sample_rate, probe(path).channels) == (rate, channels)
    assert decode_audio(path).size == pytest.approx(16_000, abs=2)


def test_silence_and_black_are_clips(tmp_path: Path) -> None:
    path = tmp_path / "nothing.mp4"
    write_clip(path, np.zeros((10, 64, 64, 3), np.uint8), 10, np.zeros(16_000, np.float32), 16_000)
    assert probe(path).has_audio
    assert float(np.abs(decode_audio(path)).max()) < 1e-3
    assert sample_frames(path, 3).max() < 20


def test_a_wav_full_of_nan_becomes_silence(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.full(1600, np.nan, np.float32), 16_000, subtype="FLOAT")
    assert np.isfinite(decode_audio(path)).all()


def test_a_folder_of_bad_files_costs_little_and_the_batch_goes_on(
    tmp_path: Path, movie: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each within 30 s and 1 GiB, nothing printed, and the good clip at the end is read."""
    whole = movie.read_bytes()
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, content in {
        "empty.mp4": b"",
        "random.mp4": np.random.default_rng(5).bytes(50_000),
        "header.mp4": whole[:40],
        "cut.mp4": whole[: len(whole) // 2],
        "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        "-i.mp4": whole,
    }.items():
        (folder / name).write_bytes(content)
    _huge_picture(folder / "huge.mp4", 16_000)
    os.mkfifo(folder / "fifo.mp4")
    (folder / "system.mp4").symlink_to("/etc/passwd")
    with ContainedMedia() as contained:
        for path in sorted(folder.iterdir()):
            reasons = {
                reason_of(read, path)
                for read in (
                    contained.probe,
                    contained.decode_audio,
                    lambda clip: contained.sample_frames(clip, 4),
                )
            }
            assert reasons != {None}, path.name
            assert reasons.isdisjoint({QuarantineReason.DECODER_CRASHED, QuarantineReason.TIMED_OUT}), (
                path.name
            )
        assert contained.probe(movie).has_video
        (worker,) = contained.process_ids
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
    assert peak is not None
    assert int(peak[1]) < 1 << 20
    assert "Traceback" not in "".join(capfd.readouterr())
