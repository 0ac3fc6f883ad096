"""Small media files in every container that people have, made with the ffmpeg program (as users make them)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

SOUND = {
    "wav": (), "flac": (), "ogg": ("-c:a", "libvorbis"), "oga": ("-c:a", "libvorbis"), "opus": ("-c:a", "libopus"), "caf": (),
    "mp3": (), "aiff": (), "au": (), "wma": (), "m4a": (), "aac": (), "amr": ("-ar", "8000", "-c:a", "libopencore_amrnb"),
}  # fmt: skip
"""Container of sound alone -> how it is coded."""

FILM = {
    "mp4": (), "m4v": ("-f", "mp4"), "mov": (), "mkv": (), "webm": ("-deadline", "realtime", "-cpu-used", "8"), "avi": (),
    "wmv": (), "asf": (), "flv": ("-ar", "44100"), "ogv": ("-c:v", "libvpx", "-c:a", "libvorbis", "-f", "ogg"),
    "3gp": ("-c:v", "mpeg4", "-s", "176x144", "-ar", "8000", "-c:a", "libopencore_amrnb"),
    "mpg": (), "mpeg": (), "ts": (), "mts": ("-f", "mpegts"),
    "m2ts": ("-f", "mpegts", "-mpegts_m2ts_mode", "1", "-c:a", "aac"),
}  # fmt: skip
"""Container of pictures and sound -> how they are coded."""

UNDECLARED = frozenset({"aac", "amr", "mpg", "mpeg", "ts", "mts", "m2ts"})
"""Raw streams: nothing in them says how long they should be."""


def ffmpeg(*arguments: str | Path) -> bytes:
    """Run the ffmpeg program; its standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout


def tone(seconds: float, hertz: int = 300, rate: int = 16_000) -> tuple[str, ...]:
    """Input arguments of a sine."""
    return ("-f", "lavfi", "-i", f"sine=f={hertz}:r={rate}:d={seconds}")


def pictures(seconds: float, side: int = 128) -> tuple[str, ...]:
    """Input arguments of a test picture of 25 frames a second, each another."""
    return ("-f", "lavfi", "-i", f"testsrc=s={side}x{side}:r=25:d={seconds}")


def make_sound(path: Path, seconds: float = 2.0, kind: str = "") -> Path:
    """A tone in the container that `kind`, or the suffix, names."""
    ffmpeg(*tone(seconds), *SOUND[kind or path.suffix[1:]], path)
    return path


def make_film(path: Path, seconds: float = 2.0, kind: str = "") -> Path:
    """A test picture with a tone in the container that `kind`, or the suffix, names."""
    ffmpeg(*pictures(seconds), *tone(seconds), "-threads", "1", *FILM[kind or path.suffix[1:]], path)
    return path


def make(path: Path, seconds: float = 2.0) -> Path:
    """A file of either kind, by its suffix."""
    return make_sound(path, seconds) if path.suffix[1:] in SOUND else make_film(path, seconds)


def make_long(path: Path) -> Path:
    """10 s of one group of pictures and a tone that changes every second: (300 + 100 n) Hz in second n; for trims."""
    steps = "aevalsrc=0.5*sin(2*PI*(300+100*floor(t))*t):s=16000:d=10"
    ffmpeg(
        *pictures(10), "-f", "lavfi", "-i", steps, "-c:v", "libx264", "-g", "250", "-bf", "2", "-c:a", "aac", "-threads", "1",
        path,
    )  # fmt: skip
    return path


def trim(source: Path, path: Path, begin: float, seconds: float) -> Path:
    """A lossless trim, as `ffmpeg -ss BEGIN -i SOURCE -t SECONDS -c copy PATH` makes it."""
    ffmpeg("-ss", str(begin), "-i", source, "-t", str(seconds), "-c", "copy", path)
    return path


def cut_off(whole: Path, path: Path, percent: int) -> Path:
    """The first percent of a file's bytes."""
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) * percent // 100])
    return path
