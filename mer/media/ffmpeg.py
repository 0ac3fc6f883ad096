"""The ffmpeg program as the decoder of last resort, when PyAV cannot decode a file at all.

`ffmpeg-python` only builds the command line here; it is run by us: no shell, no stdin, a protocol whitelist,
a forced demuxer, an absolute `file:` path, a time-out, and limits on memory and processor time.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from mer.errors import MediaError, QuarantineReason
from mer.media.opening import MediaLimits
from mer.media.sniff import Container, check_name

MEMORY_BYTES = 1 << 30
"""Address space the program may take."""


def audio_command(path: Path, kind: Container, sample_rate: int, max_seconds: float) -> list[str]:
    """Arguments that decode the first audio stream to raw mono float32 (little endian) on standard output."""
    source = ffmpeg.input(
        f"file:{path.absolute()}", format=kind.demuxer, protocol_whitelist="file", err_detect="ignore_err"
    )
    sink = ffmpeg.output(
        source["a:0"],
        "pipe:1",
        format="f32le",
        acodec="pcm_f32le",
        ac=1,
        ar=sample_rate,
        t=max_seconds,
        threads=1,
    )
    guarded = sink.global_args(
        "-nostdin", "-hide_banner", "-loglevel", "error", "-max_alloc", str(MEMORY_BYTES // 2)
    )
    command: list[str] = guarded.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
    return command


def decode_audio_by_ffmpeg(
    path: Path, kind: Container, sample_rate: int, max_seconds: float, limits: MediaLimits
) -> NDArray[np.float32]:
    """Decode to mono float32 (time,) with the ffmpeg program.

    Raises:
        MediaError: `decode_failed` with the program's last words, or `timed_out`.
    """
    check_name(path.name)
    process = subprocess.Popen(
        audio_command(path, kind, sample_rate, max_seconds),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        _limit_resources(process.pid, limits.timeout_seconds)
        try:
            output, words = process.communicate(timeout=limits.timeout_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise MediaError(
                QuarantineReason.TIMED_OUT,
                f"{path.name}: ffmpeg took longer than {limits.timeout_seconds:g} s",
            ) from None
    samples = np.frombuffer(output[: len(output) // 4 * 4], dtype="<f4").astype(np.float32)
    if samples.size == 0:
        last = words.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise MediaError(
            QuarantineReason.DECODE_FAILED, f"{path.name}: neither PyAV nor ffmpeg decodes it: {last[0]}"
        )
    return samples


def _limit_resources(pid: int, seconds: float) -> None:
    """Bound the child's memory and processor time; where the system cannot (not Linux), the time-out alone
    holds.
    """
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            resource.prlimit(pid, resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
