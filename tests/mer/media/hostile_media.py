"""The two lists of bad inputs (`spec/reliability.md`) as files: those to refuse with a reason, those to answer with a flag.

`write_refused` and `write_answered` make them in a folder; tests of reading, ingestion and prediction share them.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from bad_media import huge_picture
from made_media import cut_off, ffmpeg, make, make_film, make_long, make_sound, pictures, tone, trim

from mer.demo.clip_file import write_clip
from mer.demo.face import Expression, draw_face, make_looks
from mer.errors import QuarantineReason as Reason

RATE = 16_000


@dataclass(frozen=True)
class Refused:
    """A file that cannot be used."""

    path: Path
    reasons: frozenset[Reason]
    """What it may be refused with: one, or where the reader of a folder looks at it before the decoder does, either."""


@dataclass(frozen=True)
class Answered:
    """A file that is odd, and yet a clip."""

    path: Path
    flags: frozenset[str]
    """Its answer carries at least one of these flags."""
    has_audio: bool
    has_video: bool


def write_refused(folder: Path) -> list[Refused]:
    """Write the files to refuse, 28 in all; each is refused within 30 s and 1 GiB."""
    film, sound = make_film(folder / "whole.mp4", 1.0), make_sound(folder / "whole.wav", 1.0)
    made = [
        *_rubbish(folder, film), *_cut(folder), *_lying(folder, film, sound), *_referring(folder, film), *_named(folder, film),
    ]  # fmt: skip
    for path in (film, sound):
        path.unlink()
    return made


def write_answered(folder: Path) -> list[Answered]:
    """Write the files to answer with a flag, 38 in all. None of them has speech; those with a face have two."""
    return [
        *_unusual_sound(folder),
        *_unusual_film(folder),
        *_trims(folder),
        *_containers(folder),
        *_odd_names(folder),
    ]


def _refused(path: Path, *reasons: Reason) -> Refused:
    return Refused(path, frozenset(reasons))


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _rubbish(folder: Path, film: Path) -> list[Refused]:
    content = film.read_bytes()
    subtitles = _write(folder / "words.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    ffmpeg("-i", subtitles, "-c:s", "mov_text", folder / "subtitles_only.mp4")
    subtitles.unlink()
    return [
        _refused(_write(folder / "empty.mp4", b""), Reason.EMPTY_FILE),
        _refused(_write(folder / "random.wav", np.random.default_rng(7).bytes(50_000)), Reason.NOT_MEDIA),
        _refused(_write(folder / "header_only.mp4", content[:24]), Reason.TRUNCATED),
        _refused(_write(folder / "no_index.mp4", content[: content.index(b"moov") - 4]), Reason.TRUNCATED),
        _refused(folder / "subtitles_only.mp4", Reason.NO_USABLE_STREAM),
    ]


def _cut(folder: Path) -> list[Refused]:
    kinds = {
        "mp4": 10,
        "mov": 50,
        "m4a": 90,
        "wav": 50,
        "avi": 50,
        "wmv": 30,
        "flac": 70,
        "mkv": 20,
        "ogg": 40,
        "mp3": 60,
    }
    cut = []
    for kind, percent in kinds.items():
        whole = make(folder / f"whole_to_cut.{kind}", 1.0)
        cut.append(
            _refused(cut_off(whole, folder / f"cut_at_{percent}_{kind}.{kind}", percent), Reason.TRUNCATED)
        )
        whole.unlink()
    return cut


def _lying(folder: Path, film: Path, sound: Path) -> list[Refused]:
    huge_picture(folder / "huge.mp4", 16_000)
    header = bytearray(sound.read_bytes() + bytes(200_000))
    header[4:8] = struct.pack("<I", len(header) - 8)
    header[24:32] = struct.pack("<II", 260_000_000, 520_000_000)  # sampling rate, bytes a second
    with av.open(str(film)) as source, av.open(str(folder / "ten_hours.mkv"), "w") as sink:
        video = source.streams.video[0]
        stream = sink.add_stream_from_template(video)
        packets = [packet for packet in source.demux(video) if packet.size]
        packets[-1].pts = packets[-1].dts = packets[-1].pts + round(36_000 / packets[-1].time_base)
        for packet in packets:
            packet.stream = stream
            sink.mux(packet)
    return [
        _refused(folder / "huge.mp4", Reason.TOO_LARGE, Reason.NO_USABLE_STREAM),
        _refused(_write(folder / "260_megahertz.wav", bytes(header)), Reason.BAD_SAMPLE_RATE),
        _refused(folder / "ten_hours.mkv", Reason.TOO_LONG),
    ]


def _referring(folder: Path, film: Path) -> list[Refused]:
    texts = {
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "concat": b"ffconcat version 1.0\nfile 'http://127.0.0.1:9/a.mp4'\n",
        "session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        "dash": b"<?xml version='1.0'?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>",
    }
    made = [
        _refused(_write(folder / f"{name}.mp4", text), Reason.UNSAFE_CONTAINER)
        for name, text in texts.items()
    ]
    content = bytearray(film.read_bytes())
    place = 0
    while (place := content.find(b"url \0\0\0\1", place + 1)) > 0:
        content[place + 7] = 0  # no longer `in this file`
    made.append(_refused(_write(folder / "references.mov", bytes(content)), Reason.UNSAFE_CONTAINER))
    link = folder / "system_file.mp4"
    link.symlink_to("/etc/passwd")
    return [*made, _refused(link, Reason.NOT_MEDIA, Reason.OUTSIDE_ROOT)]


def _named(folder: Path, film: Path) -> list[Refused]:
    fifo = folder / "pipe.mp4"
    os.mkfifo(fifo)
    names = ["a\nb.mp4", "x" * 251 + ".mp4", "=cmd().mp4"]
    made = [_refused(_write(folder / name, film.read_bytes()), Reason.UNSAFE_NAME) for name in names]
    return [*made, _refused(fifo, Reason.NOT_A_REGULAR_FILE)]


def _sound(path: Path, *flags: str) -> Answered:
    return Answered(path, frozenset(flags or ("no_speech", "one_modality")), has_audio=True, has_video=False)


def _film(path: Path, *flags: str, audio: bool = True) -> Answered:
    return Answered(path, frozenset(flags or ("no_face", "no_speech")), has_audio=audio, has_video=True)


def _unusual_sound(folder: Path) -> list[Answered]:
    time = np.arange(RATE) / RATE
    sine = (0.4 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
    waves: dict[str, tuple[np.ndarray, int]] = {
        "eight_channels": (np.repeat(sine[:, None], 8, axis=1), RATE),
        "8_kilohertz": (sine[::2], 8_000),
        "192_kilohertz": (np.repeat(sine, 12), 192_000),
        "silence": (np.zeros(RATE, np.float32), RATE),
        "tone": (sine, RATE),
        "antiphase": (np.stack([sine, -sine], axis=1), RATE),
    }
    for name, (samples, rate) in waves.items():
        soundfile.write(folder / f"{name}.wav", samples, rate)
    soundfile.write(folder / "1_millisecond.wav", sine[:16], RATE)
    return [
        *(_sound(folder / f"{name}.wav") for name in waves),
        _sound(folder / "1_millisecond.wav", "too_short", "no_speech", "one_modality"),
    ]


def _unusual_film(folder: Path) -> list[Answered]:
    grey = np.full((10, 64, 64, 3), 128, np.uint8)
    silence = np.zeros(RATE, np.float32)
    write_clip(folder / "pictures_only.mp4", grey, 10, None, RATE)
    write_clip(folder / "one_frame.mp4", grey[:1], 10, silence, RATE)
    write_clip(folder / "black.mp4", np.zeros_like(grey), 10, silence, RATE)
    face = draw_face(make_looks(0), Expression(), 0.1, (0.0, 0.0))
    write_clip(
        folder / "two_faces.mp4", np.stack([np.concatenate([face, face], axis=1)] * 10), 10, silence, RATE
    )
    ffmpeg(*pictures(1.0), *tone(1.0), folder / "no_rate.avi")
    content = bytearray((folder / "no_rate.avi").read_bytes())
    content[content.index(b"strh") + 32 : content.index(b"strh") + 36] = bytes(4)  # dwRate of the pictures
    _stamped(folder / "variable_rate.mkv", [0, 40, 90, 300, 340, 700, 720, 740, 900, 980])
    _stamped(folder / "back_and_forth.mkv", [300, 0, 100, 400, 200, 700, 500, 900, 800, 600])
    return [
        _film(folder / "pictures_only.mp4", "one_modality", "no_face", audio=False),
        _film(folder / "one_frame.mp4"),
        _film(folder / "black.mp4"),
        _film(folder / "two_faces.mp4", "several_faces", "no_speech"),
        _film(_write(folder / "no_rate.avi", bytes(content))),
        _film(folder / "variable_rate.mkv", "one_modality", "no_face", audio=False),
        _film(folder / "back_and_forth.mkv", "one_modality", "no_face", audio=False),
    ]


def _stamped(path: Path, milliseconds: list[int]) -> None:
    """Pictures that are shown at these times, in this order of coding."""
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        grey = [np.full((64, 64, 3), 20 * number, np.uint8) for number in range(len(milliseconds))]
        packets = [
            packet
            for picture in grey
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
        ]
        for number, (packet, shown) in enumerate(zip(packets, milliseconds, strict=True)):
            packet.time_base = Fraction(1, 1000)
            packet.pts, packet.dts, packet.stream = 1000 + shown, number, stream
            sink.mux(packet)


def _trims(folder: Path) -> list[Answered]:
    whole = make_long(folder / "to_trim.mp4")
    made = [_film(trim(whole, folder / f"trimmed_{kind}.{kind}", 7.3, 1.0)) for kind in ("mp4", "mov")]
    ffmpeg("-i", whole, "-vn", "-c", "copy", folder / "to_trim.m4a")
    made.append(_sound(trim(folder / "to_trim.m4a", folder / "trimmed_m4a.m4a", 7.3, 1.0)))
    whole.unlink()
    (folder / "to_trim.m4a").unlink()
    return made


def _containers(folder: Path) -> list[Answered]:
    sounds = ("caf", "oga", "amr", "aac", "opus", "aiff", "au", "wma")
    films = ("m2ts", "mts", "3gp", "m4v", "flv", "mpg", "webm")
    make_film(folder / "matroska.mkv", 1.0).rename(folder / "matroska.mp4")
    ffmpeg(*pictures(1.0), folder / "pictures.gif")
    (folder / "pictures.gif").rename(folder / "gif.mp4")
    return [
        *(_sound(make_sound(folder / f"sound_{kind}.{kind}", 1.0)) for kind in sounds),
        *(_film(make_film(folder / f"film_{kind}.{kind}", 1.0)) for kind in films),
        _film(folder / "matroska.mp4"),
        _film(folder / "gif.mp4", "one_modality", "no_face", audio=False),
    ]


def _odd_names(folder: Path) -> list[Answered]:
    content = make_film(folder / "plain.mp4", 1.0).read_bytes()
    (folder / "plain.mp4").unlink()
    names: tuple[bytes, ...] = (b"-i.mp4", b"a;b$(id).mp4", b"caf\xe9.mp4", "😀 👩‍👧 été.mp4".encode())
    return [_film(_write(Path(os.fsdecode(os.fsencode(folder) + b"/" + name)), content)) for name in names]
