"""Files that mean harm: what they are named, link to, claim to be, ask to be fetched, or would unpack to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from bad_media import READERS, huge_picture, reason_of

from mer.errors import MediaError, QuarantineReason
from mer.media.frames import sample_frames
from mer.media.probe import probe


def test_a_gif_is_a_clip_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
    )
    assert (probe(path).container, probe(path).has_video, probe(path).has_audio) == ("gif", True, False)
    assert sample_frames(path, 2).shape == (2, 1, 1, 3)
    path.write_bytes(
        path.read_bytes()[:-3]
    )  # into the block of the picture: a lost trailer alone loses nothing
    assert reason_of(probe, path) is QuarantineReason.TRUNCATED


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


@pytest.mark.parametrize(
    "name", ["a\nb.mp4", "a\x7fb.mp4", "a\u2028b.mp4", "=cmd().mp4", "@a.mp4", "a|b.mp4", "a\\b.mp4"]
)
def test_unsafe_names_are_refused_before_the_file_is_opened(tmp_path: Path, name: str, movie: Path) -> None:
    path = tmp_path / name
    path.write_bytes(movie.read_bytes())
    assert {reason_of(read, path) for read in READERS} == {QuarantineReason.UNSAFE_NAME}


def test_long_names_are_refused(tmp_path: Path, movie: Path) -> None:
    path = tmp_path / ("x" * 251 + ".mp4")
    path.write_bytes(movie.read_bytes())
    assert {reason_of(read, path) for read in READERS} == {QuarantineReason.UNSAFE_NAME}


@pytest.mark.parametrize(
    "name",
    [
        b"-i.mp4",
        b"a;b$(id).mp4",
        b"caf\xe9.mp4",
        "😀.mp4".encode(),
        "👩\u200d👧 été\xa0?.mp4".encode(),
        b"#1 50%.mp4",
    ],
)
def test_odd_names_are_names(tmp_path: Path, movie: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(movie.read_bytes())
    assert {reason_of(read, path) for read in READERS} == {None}


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


@pytest.mark.parametrize("width", [16_000, 160])
def test_a_huge_picture_is_refused_within_little_memory(tmp_path: Path, width: int) -> None:
    """Declared by the header, or hidden behind a small one: the decoder itself has the limit."""
    path = tmp_path / "huge.mp4"
    huge_picture(path, width)
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
