"""Decoding in a process of its own: the same answers, and nothing a file does reaches the parent."""

from __future__ import annotations

import collections
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mer.demo.clip_file import write_clip
from mer.errors import MediaError, QuarantineReason
from mer.media.audio import decode_audio
from mer.media.contained import ContainedMedia, shared_media
from mer.media.frames import sample_frames
from mer.media.opening import Deadline, MediaLimits
from mer.media.probe import probe

Make = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def contained() -> Iterator[ContainedMedia]:
    with ContainedMedia() as opened:
        yield opened


def test_the_answers_are_those_of_this_process(contained: ContainedMedia, movie: Path) -> None:
    assert contained.probe(movie) == probe(movie)
    np.testing.assert_array_equal(contained.decode_audio(movie), decode_audio(movie))
    np.testing.assert_array_equal(
        contained.decode_audio(movie, sample_rate=8000, max_seconds=0.5),
        decode_audio(movie, sample_rate=8000, max_seconds=0.5),
    )
    np.testing.assert_array_equal(
        contained.sample_frames(movie, 3, max_side=32), sample_frames(movie, 3, max_side=32)
    )


def test_refusals_keep_their_reason_and_message(contained: ContainedMedia, silent_film: Path) -> None:
    with pytest.raises(MediaError, match="no audio track") as caught:
        contained.decode_audio(silent_film)
    assert caught.value.reason is QuarantineReason.NO_AUDIO
    with pytest.raises(MediaError) as caught:
        contained.probe(Path("/tmp/=caf\udce9.mp4"))
    assert caught.value.reason is QuarantineReason.UNSAFE_NAME


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGSEGV,
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(signal.SIGABRT, marks=pytest.mark.slow),
    ],
)
def test_a_crash_over_a_clip_is_its_reason_and_the_next_clip_is_read(
    movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """A worker whose codec crashes over pictures, every time."""
    (tmp_path / "crashing_worker.py").write_text(
        "import os\n"
        "from mer.media import contained_worker\n"
        f"contained_worker._READERS['sample_frames'] = lambda *_, **__: os.kill(os.getpid(), {number.value})\n"
        "contained_worker.main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr("mer.media.contained._MODULE", "crashing_worker")
    with ContainedMedia() as contained:
        contained.probe(movie)
        before = contained.process_ids
        with pytest.raises(MediaError, match=number.name) as caught:
            contained.sample_frames(movie, 3)
        assert caught.value.reason is QuarantineReason.DECODER_CRASHED
        assert contained.probe(movie) == probe(movie)
        assert contained.process_ids != before


def test_a_crash_that_was_not_the_clips_fault_costs_it_nothing(movie: Path) -> None:
    with ContainedMedia() as contained:
        contained.probe(movie)
        (worker,) = contained.process_ids
        os.kill(worker, signal.SIGSTOP)  # it gets the request and does not answer

        def crash() -> None:
            os.kill(worker, signal.SIGKILL)

        later = threading.Timer(0.2, crash)
        later.start()
        assert contained.sample_frames(movie, 3).shape[0] == 3
        later.join()
        assert contained.process_ids != [worker]


def test_a_worker_that_died_while_idle_is_no_clips_fault(movie: Path) -> None:
    with ContainedMedia() as contained:
        contained.probe(movie)
        (worker,) = contained.process_ids
        os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while "zombie" not in Path(f"/proc/{worker}/status").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert contained.probe(movie) == probe(movie)


def test_a_decoder_that_hangs_is_ended(movie: Path) -> None:
    with ContainedMedia(limits=MediaLimits(hang_seconds=0.5)) as contained:
        contained.probe(movie)
        (worker,) = contained.process_ids
        os.kill(worker, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(MediaError) as caught:
            contained.probe(movie)
        assert caught.value.reason is QuarantineReason.TIMED_OUT
        assert caught.value.transient
        assert time.monotonic() - started < 5
        assert contained.probe(movie).has_video


def test_memory_is_bounded(movie: Path) -> None:
    """More frames than fit the limit: refused, and the worker goes on."""
    with ContainedMedia(memory_bytes=64 << 20) as contained:
        with pytest.raises(MediaError) as caught:
            contained.sample_frames(movie, 20_000)  # of 12 kB each
        assert caught.value.reason in {QuarantineReason.TOO_LARGE, QuarantineReason.DECODER_CRASHED}
        assert contained.sample_frames(movie, 2).shape == (2, 64, 64, 3)


def test_a_codec_that_never_comes_back_is_ended_by_its_processor_time(
    movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fact of the file, unlike time by the clock: the same on a busy machine."""
    (tmp_path / "spinning_worker.py").write_text(
        "from mer.media import contained_worker\n"
        "def spin(*_, **__):\n"
        "    while True: pass\n"
        "contained_worker._READERS['sample_frames'] = spin\n"
        "contained_worker.main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr("mer.media.contained._MODULE", "spinning_worker")
    with ContainedMedia(limits=MediaLimits(timeout_seconds=0.2, hang_seconds=100)) as contained:
        with pytest.raises(MediaError, match="processor time") as caught:
            contained.sample_frames(movie, 3)
        assert (caught.value.reason, caught.value.transient) == (QuarantineReason.TIMED_OUT, False)
        assert contained.probe(movie) == probe(movie)


def test_the_deadline_counts_processor_time_of_this_thread_alone() -> None:
    deadline = Deadline(MediaLimits(timeout_seconds=0.1, hang_seconds=60), "a.mp4")
    busy = threading.Thread(target=_burn, args=(0.3,))
    busy.start()
    busy.join()
    time.sleep(0.3)
    deadline.check()
    _burn(0.2)
    with pytest.raises(MediaError, match="processor time") as caught:
        deadline.check()
    assert not caught.value.transient


def test_the_deadline_by_the_clock_is_transient() -> None:
    deadline = Deadline(MediaLimits(timeout_seconds=10, hang_seconds=0.05), "a.mp4")
    time.sleep(0.1)
    with pytest.raises(MediaError, match="run again") as caught:
        deadline.check()
    assert caught.value.transient


def _burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_the_shared_workers_start_when_needed_and_rest(movie: Path) -> None:
    shared = shared_media()
    assert shared is shared_media()
    shared.rest()
    assert shared.process_ids == []
    for _ in range(3):
        shared.probe(movie)
    assert len(shared.process_ids) == 1
    shared.rest()
    assert shared.process_ids == []
    assert shared.probe(movie) == probe(movie)


def test_a_forked_process_has_workers_of_its_own(movie: Path) -> None:
    """Two processes that read one pipe would read each other's answers."""
    shared_media().probe(movie)
    script = (
        "import os, sys; from pathlib import Path; from mer.media.contained import shared_media\n"
        "path = Path(sys.argv[1]); shared_media().probe(path); mine = shared_media().process_ids\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    shared_media().probe(path); os._exit(0 if set(shared_media().process_ids).isdisjoint(mine) else 7)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "shared_media().probe(path)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(movie)], check=True, timeout=60, cwd=Path(__file__).parents[3]
    )


def test_a_forked_process_that_ends_normally_leaves_the_workers_of_the_other_alone(movie: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from mer.media.contained import shared_media\n"
        "path = Path(sys.argv[1]); shared_media().probe(path); (worker,) = shared_media().process_ids\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    sys.exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "shared_media().probe(path)\n"
        "assert shared_media().process_ids == [worker]\n"  # else the probe started another
    )
    subprocess.run(
        [sys.executable, "-c", script, str(movie)], check=True, timeout=60, cwd=Path(__file__).parents[3]
    )


@pytest.mark.slow
def test_several_workers_serve_several_threads(movie: Path) -> None:
    with ContainedMedia(workers=2) as contained, ThreadPoolExecutor(4) as threads:
        expected = sample_frames(movie, 2)
        for found in threads.map(lambda _: contained.sample_frames(movie, 2), range(12)):
            np.testing.assert_array_equal(found, expected)
        assert len(contained.process_ids) == 2


def test_no_worker_is_left_behind(movie: Path) -> None:
    with ContainedMedia() as contained:
        contained.probe(movie)
        (worker,) = contained.process_ids
    assert contained.process_ids == []
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


@pytest.mark.slow
@pytest.mark.nightly
def test_two_thousand_damaged_variants_are_each_read_or_refused(
    tmp_path: Path, tone: Make, counting_frames: Make
) -> None:
    """Issue 3: byte-flipped variants of a good clip; no crash of this process, every one accepted or refused.

    A quarter each: a few bytes anywhere, many bytes anywhere, the index (moov) only, the media data only.
    """
    good = tmp_path / "good.mp4"
    write_clip(good, counting_frames(6, 32), 10, tone(0.6), 16_000)
    whole = good.read_bytes()
    index, data = whole.index(b"moov"), whole.index(b"mdat")
    assert data < index
    generator = np.random.default_rng(2026)
    kinds = [(4, len(whole), 3), (4, len(whole), 60), (index + 4, len(whole), 6), (data + 4, index - 4, 30)]
    verdicts: collections.Counter[str] = collections.Counter()
    path = tmp_path / "variant.mp4"
    with ContainedMedia(limits=MediaLimits(timeout_seconds=5)) as contained:
        readers: tuple[Callable[[Path], object], ...] = (
            contained.probe,
            contained.decode_audio,
            lambda clip: contained.sample_frames(clip, 3),
        )
        for number in range(2000):
            begin, end, flips = kinds[number % 4]
            variant = bytearray(whole)
            for place in generator.integers(begin, end, size=flips):
                variant[place] ^= int(generator.integers(1, 256))
            path.write_bytes(variant)
            reasons = set()
            for read in readers:
                try:
                    read(path)
                except MediaError as error:
                    reasons.add(error.reason)
            verdicts["refused" if reasons else "accepted"] += 1
            verdicts.update(reason.value for reason in reasons)
    assert verdicts["accepted"] + verdicts["refused"] == 2000
    assert verdicts["accepted"] > 100 < verdicts["refused"], (
        verdicts
    )  # the damage was neither nothing nor everything
    assert verdicts["timed_out"] == 0, verdicts
    logging.getLogger(__name__).info("2,000 damaged variants: %s", dict(verdicts))
