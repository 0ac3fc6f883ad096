"""Decoding in processes of their own: a codec that crashes, hangs or eats memory costs one clip, not the run.

In the same process `mer.media.probe`, `audio` and `frames` are faster by one copy of the result. Everything that reads files of
unknown origin (ingestion, extraction, quality, transcription, prediction, the library) goes through here, mostly through
`shared_media`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import DecoderUnavailable, MediaError, QuarantineReason
from mer.media.audio import SPEECH_RATE, Waveform
from mer.media.opening import DEFAULT_LIMITS, MediaLimits, waited_too_long
from mer.media.probe import Probe
from mer.media.sniff import printable

DEFAULT_MEMORY_BYTES = 1 << 30
"""Memory that one worker may map beyond its libraries."""

_START_SECONDS = 120.0
_END_SECONDS = 5.0
_PIPE_BYTES = 1 << 20
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""Signals that no decoder sends itself: somebody, or a system short of memory, ended it."""
_MODULE = "mer.media.contained_worker"
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class ContainedMedia:
    """Probe and decode in worker processes, which are started when first needed and again after a crash.

    Safe among threads: each call takes a free worker, or waits for one. Results and errors are those of
    `probe`, `decode_audio` and `sample_frames`; besides, every method raises MediaError with

    - `decoder_crashed`: the worker died (the message names the signal) or failed in an unforeseen way; transient where it was
      killed from outside, twice;
    - `timed_out`: the file took more processor time than `limits.timeout_seconds`, or, transient, nothing came within
      `limits.hang_seconds`;
    - `too_large`: it ran into its memory limit;

    and `DecoderUnavailable` where no worker can be started.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        limits: MediaLimits = DEFAULT_LIMITS,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
    ) -> None:
        """`workers`: processes, >= 1; `memory_bytes`: what each may map beyond its libraries (Linux)."""
        self.limits = limits
        self._workers = [_Worker(memory_bytes) for _ in range(workers)]
        self._free: queue.LifoQueue[_Worker] = (
            queue.LifoQueue()
        )  # the one used last: no more start than are needed
        for worker in self._workers:
            self._free.put(worker)

    def __enter__(self) -> ContainedMedia:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def process_ids(self) -> list[int]:
        """Workers that are running now."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def close(self) -> None:
        """Stop the workers; a later call starts them again."""
        for worker in self._workers:
            worker.stop()

    def rest(self) -> None:
        """Stop the workers that are free now, and give their memory back; a later call starts them again."""
        idle = []
        with contextlib.suppress(queue.Empty):
            while True:
                idle.append(self._free.get_nowait())
        for worker in idle:
            worker.stop()
            self._free.put(worker)

    def probe(self, path: Path) -> Probe:
        """See `mer.media.probe.probe`."""
        head, _ = self._ask("probe", path)
        return Probe(**head["probe"])

    def decode_audio(
        self, path: Path, *, sample_rate: int = SPEECH_RATE, max_seconds: float = 60.0
    ) -> Waveform:
        """See `mer.media.audio.decode_audio`."""
        return self._array("decode_audio", path, sample_rate=sample_rate, max_seconds=max_seconds)

    def sample_frames(self, path: Path, count: int, *, max_side: int = 1280) -> NDArray[np.uint8]:
        """See `mer.media.frames.sample_frames`."""
        return self._array("sample_frames", path, count=count, max_side=max_side)

    def _array(self, call: str, path: Path, **options: float) -> NDArray[Any]:
        head, raw = self._ask(call, path, **options)
        return np.frombuffer(raw, dtype=np.dtype(head["dtype"])).reshape(head["shape"])

    def _ask(self, call: str, path: Path, **options: float) -> tuple[dict[str, Any], bytearray]:
        request = {
            "call": call,
            "path": str(path.absolute()),
            "options": options,
            "limits": self.limits.model_dump(),
        }
        worker = self._free.get()
        try:
            head, raw = worker.ask(request, printable(path.name), self.limits)
        finally:
            self._free.put(worker)
        if "reason" in head:
            raise MediaError(QuarantineReason(head["reason"]), head["message"], transient=head["transient"])
        return head, raw


_shared: dict[int, ContainedMedia] = {}
_sharing = threading.Lock()


def shared_media() -> ContainedMedia:
    """The workers of this process, as many as it has processors; each starts when a thread first needs it, all end with it."""
    with _sharing:
        process = os.getpid()  # workers of a process that forked this one answer that one
        if process not in _shared:
            _shared.clear()
            _shared[process] = ContainedMedia(workers=max(2, os.cpu_count() or 1))
            atexit.register(_shared[process].close)
        return _shared[process]


class _Worker:
    """One process, or none until it is needed."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self.process: subprocess.Popen[bytes] | None = None

    def ask(
        self, request: dict[str, Any], name: str, limits: MediaLimits
    ) -> tuple[dict[str, Any], bytearray]:
        """Answer of the worker; a crash counts against the clip only if a fresh worker crashes over it too.

        One that died while idle, of what earlier clips left in its memory, or was killed is no fault of this clip.
        """
        process = self.process
        if process is None or process.poll() is not None:
            process = self._start()
            fresh = True
        else:
            fresh = False
        try:
            return self._answer(process, request, name, limits)
        except MediaError as error:
            if error.reason is not QuarantineReason.DECODER_CRASHED or (fresh and not error.transient):
                raise
        return self._answer(self._start(), request, name, limits)

    def _answer(
        self, process: subprocess.Popen[bytes], request: dict[str, Any], name: str, limits: MediaLimits
    ) -> tuple[dict[str, Any], bytearray]:
        assert process.stdin is not None
        try:
            # the worker itself gives up after hang_seconds, if it still can
            with _killed_after(process, limits.hang_seconds * 1.1 + 0.5) as late:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                head: dict[str, Any] = json.loads(_line(process))
                size = math.prod(head["shape"]) * np.dtype(head["dtype"]).itemsize if "dtype" in head else 0
                return head, _exactly(process, size)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            if late.is_set():
                self.stop()
                raise waited_too_long(name, limits) from error
            status = _end_of(process) if isinstance(error, (OSError, EOFError)) else None
            self.stop()
            raise _ended(status, name, limits) from error
        except BaseException:  # interrupted in mid-answer: what is left in the pipe belongs to nobody
            self.stop()
            raise

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(
                    OSError
                ):  # a request that was not sent is flushed into a broken pipe
                    pipe.close()
        process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        self.stop()
        # the folder of the package comes first on the child's path: it runs the same copy as we do
        self.process = process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_PACKAGE_ROOT,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        _widen(process.stdout.fileno())
        try:
            with _killed_after(process, _START_SECONDS):
                process.stdin.write(json.dumps({"memory_bytes": self._memory_bytes}).encode() + b"\n")
                process.stdin.flush()
                if _line(process) != b"ready\n":
                    raise EOFError
        except (OSError, EOFError) as error:
            self.stop()
            raise DecoderUnavailable(
                f"expected a decoding process, found that it does not start: run `{sys.executable} -m {_MODULE}` to see why"
            ) from error
        return process


@contextlib.contextmanager
def _killed_after(process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """Kill the process unless the block ends in time; the event is set when the time is over."""
    late = threading.Event()

    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    line = process.stdout.readline(1 << 20)
    if not line.endswith(b"\n"):
        raise EOFError
    return line


def _exactly(process: subprocess.Popen[bytes], size: int) -> bytearray:
    assert process.stdout is not None
    raw, position = bytearray(size), 0
    with memoryview(raw) as view:
        while position < size:
            read = process.stdout.readinto(view[position:])  # type: ignore[attr-defined]
            if not read:
                raise EOFError
            position += read
    return raw


def _widen(pipe: int) -> None:
    """Let the pipe hold 1 MiB (Linux), so that pictures cross it in few steps."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # more than the system lets one user have
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _end_of(process: subprocess.Popen[bytes]) -> int | None:
    """Status of a process that closed its pipe, and so is about to end; None where it goes on."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(_END_SECONDS)
    return None


def _ended(status: int | None, name: str, limits: MediaLimits) -> MediaError:
    """What the end of a worker in mid-answer says of the clip; `status` None: it answered rubbish."""
    if status is None or status >= 0:
        how = "gave no proper answer" if status is None else f"broke off (exit status {status})"
        return MediaError(QuarantineReason.DECODER_CRASHED, f"{name}: the decoder {how}")
    if -status == signal.SIGXCPU:
        message = f"{name} takes more than {limits.timeout_seconds:g} s of processor time"
        return MediaError(QuarantineReason.TIMED_OUT, message)
    names = {item.value: item.name for item in signal.Signals}
    killed = -status in _FROM_OUTSIDE
    how = f"{'was killed' if killed else 'crashed'} ({names.get(-status, f'signal {-status}')})"
    return MediaError(QuarantineReason.DECODER_CRASHED, f"{name}: the decoder {how}", transient=killed)
