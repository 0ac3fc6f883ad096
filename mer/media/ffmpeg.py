"""The ffmpeg program as the decoder of last resort, when PyAV cannot decode a file at all.

`ffmpeg-python` only builds the command line here; it is run by us: no shell, no stdin, a protocol whitelist,
a forced demuxer, an absolute `file:` path, a time-out, and limits on memory and processor time.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from mer.errors import MediaError, QuarantineReason
from mer.media.opening import MediaLimits, waited_too_long
from mer.media.sniff import Container, check_name

MEMORY_BYTES = 1 << 30
"""Address space the program may take."""

_OUT_OF_TIME = frozenset({255, -signal.SIGXCPU})
"""Exit status after SIGXCPU, which ffmpeg itself takes as a wish to end."""

_PPM_HEADER = re.compile(rb"P6\s(\d{1,6})\s(\d{1,6})\s255\s")


def audio_command(path: Path, kind: Container, sample_rate: int, max_seconds: float) -> list[str]:
    """Arguments that decode the first audio stream to raw mono float32 (little endian) on standard output."""
    return _guarded(
        ffmpeg.output(
            _source(path, kind)["a:0"],
            "pipe:1",
            format="f32le",
            acodec="pcm_f32le",
            ac=1,
            ar=sample_rate,
            t=max_seconds,
            threads=1,
        )
    )


def frames_command(
    path: Path, kind: Container, count: int, seconds: float, max_side: int, max_pixels: int
) -> list[str]:
    """Arguments that write the pictures shown at the middles of `count` equal parts as PPM files, one after the
    other, on standard output; upright, at most `max_side` pixels on the longer side. The decoder refuses pictures of
    more than `max_pixels`.
    """
    segment_seconds = seconds / count
    pictures = (
        _source(path, kind, max_pixels=max_pixels)["v:0"]
        .filter("setpts", f"PTS-STARTPTS-{segment_seconds / 2:.9f}/TB")
        .filter("fps", fps=f"{1 / segment_seconds:.9f}", start_time=0, round="up")
        .filter("scale", f"min({max_side},iw)", f"min({max_side},ih)", force_original_aspect_ratio="decrease")
    )
    return _guarded(
        ffmpeg.output(
            pictures, "pipe:1", format="image2pipe", vcodec="ppm", pix_fmt="rgb24", vframes=count, threads=1
        )
    )


def decode_audio_by_ffmpeg(
    path: Path, kind: Container, sample_rate: int, max_seconds: float, limits: MediaLimits
) -> NDArray[np.float32]:
    """Decode to mono float32 (time,) with the ffmpeg program.

    Raises:
        MediaError: `decode_failed` with the program's last words, or `timed_out`.
    """
    output, words = _run(path, audio_command(path, kind, sample_rate, max_seconds), limits)
    samples = np.frombuffer(output[: len(output) // 4 * 4], dtype="<f4").astype(np.float32)
    if samples.size == 0:
        raise _failed(path, words)
    return samples


def decode_frames_by_ffmpeg(
    path: Path, kind: Container, count: int, seconds: float, max_side: int, limits: MediaLimits
) -> NDArray[np.uint8]:
    """Sample frames as `mer.media.frames.sample_frames` does, with the ffmpeg program.

    Args:
        path: media file.
        kind: what it is by its first bytes.
        count: number of frames, >= 1.
        seconds: real duration of the video; 0 or less where unknown: the first frame is taken.
        max_side: pixels.
        limits: what the file may cost.

    Returns:
        uint8 (count, height, width, 3), RGB; the last picture is repeated where the video ends early.

    Raises:
        MediaError: `decode_failed` with the program's last words, or `timed_out`.
    """
    sampled = count if seconds > 0 else 1
    command = frames_command(path, kind, sampled, max(seconds, 1e-3), max_side, limits.max_pixels)
    output, words = _run(path, command, limits)
    pictures = _ppm_pictures(output)
    if not pictures:
        raise _failed(path, words)
    return np.stack([*pictures, *pictures[-1:] * (count - len(pictures))])


def _source(path: Path, kind: Container, **options: int) -> Any:
    return ffmpeg.input(
        f"file:{path.absolute()}",
        format=kind.demuxer,
        protocol_whitelist="file",
        err_detect="ignore_err",
        **options,
    )


def _guarded(sink: Any) -> list[str]:
    guarded = sink.global_args(
        "-nostdin", "-hide_banner", "-loglevel", "error", "-max_alloc", str(MEMORY_BYTES // 2)
    )
    command: list[str] = guarded.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
    return command


def _run(path: Path, command: list[str], limits: MediaLimits) -> tuple[bytes, bytes]:
    """Standard output and standard error of the program."""
    check_name(path.name)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        _limit_resources(process.pid, limits.timeout_seconds)
        try:
            output = process.communicate(timeout=limits.hang_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise waited_too_long(path.name, limits) from None
    if process.returncode in _OUT_OF_TIME:
        raise MediaError(
            QuarantineReason.TIMED_OUT,
            f"{path.name}: ffmpeg takes more than {limits.timeout_seconds:g} s of processor time",
        )
    return output


def _failed(path: Path, words: bytes) -> MediaError:
    last = words.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
    return MediaError(
        QuarantineReason.DECODE_FAILED, f"{path.name}: neither PyAV nor ffmpeg decodes it: {last[0]}"
    )


def _ppm_pictures(stream: bytes) -> list[NDArray[np.uint8]]:
    """Complete pictures of binary PPM files, one after the other: (height, width, 3) each."""
    pictures: list[NDArray[np.uint8]] = []
    position = 0
    while header := _PPM_HEADER.match(stream, position):
        width, height = int(header[1]), int(header[2])
        begin, position = header.end(), header.end() + width * height * 3
        if position > len(stream):
            break
        pictures.append(np.frombuffer(stream[begin:position], dtype=np.uint8).reshape(height, width, 3))
    return pictures


def _limit_resources(pid: int, seconds: float) -> None:
    """Bound the child's memory and processor time; where the system cannot (not Linux), the time-out alone
    holds.
    """
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            resource.prlimit(pid, resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
