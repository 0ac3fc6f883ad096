"""What a busy machine or a killed decoder does to a run is no fact: nothing of it is kept, and the next run tries again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_ingestion import ingest

from mer.errors import MediaError, QuarantineReason
from mer.features.spec import FeatureSpec
from mer.media import contained
from mer.media.contained import ContainedMedia
from mer.media.opening import MediaLimits
from tasks.data.features import extract_shard, feature_table, plan_features
from tasks.data.passing_failures import FOLDER, RUNS, failed_too_often
from tasks.data.transcription import plan_transcription, transcribe_shard
from tasks.stage.workspace import Workspace, workspace

pytestmark = pytest.mark.slow

SPEECH = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny", pooling="mean")
HELD = "held.wav"


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    generator = np.random.default_rng(5)
    for name in ("first.wav", HELD, "last.wav"):
        soundfile.write(folder / name, generator.standard_normal(16_000) * 0.1, 16_000)
    return folder


@contextmanager
def decoders_of_the_held_clip(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Every worker gets this signal as soon as it is asked for the held clip."""
    hit: list[int] = []
    answer = contained._Worker._answer

    def interfering(self, process, request, *others):  # type: ignore[no-untyped-def]
        if request["path"].endswith(HELD):
            os.kill(process.pid, number)
            hit.append(process.pid)
        return answer(self, process, request, *others)

    limited = ContainedMedia(limits=MediaLimits(hang_seconds=0.5))
    with monkeypatch.context() as patch:
        patch.setattr(contained._Worker, "_answer", interfering)
        patch.setattr(contained, "shared_media", lambda: limited)
        patch.setattr("mer.features.clip_media.shared_media", lambda: limited)
        patch.setattr("mer.transcription.listen.shared_media", lambda: limited)
        yield hit
    limited.close()


def extract(space: Workspace) -> list[list[str]]:
    """Extract what is missing; the clips of each shard that was planned."""
    names = [row.name for row in space.catalogue.clips("corpus")]
    plan = plan_features.fn("corpus", {"speech": SPEECH}, names, 8)
    for shard in plan.shards:
        extract_shard.fn("corpus", shard)
    return [sorted(shard.clip_ids) for shard in plan.shards]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_clip_whose_decoder_was_held_up_is_no_absent_feature(
    space: Workspace, corpus: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(corpus)
    with (
        decoders_of_the_held_clip(number, monkeypatch) as hit,
        pytest.raises(MediaError, match="run again") as caught,
    ):
        extract(space)
    assert hit and caught.value.transient
    assert extract(space) == [["held"]]  # the other clips are kept
    assert extract(space) == []
    names = [row.name for row in space.catalogue.clips("corpus")]
    plan = plan_features.fn("corpus", {"speech": SPEECH}, names, 8)
    assert feature_table(space, plan.features["speech"], names).present.all()


def test_a_clip_whose_decoder_is_killed_in_every_run_is_named_and_then_left_out(
    space: Workspace, corpus: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As by the system, for want of memory: the run after the last try goes on, with the clip masked."""
    ingest(corpus)
    with decoders_of_the_held_clip(signal.SIGKILL, monkeypatch):
        for _ in range(RUNS - 1):
            with pytest.raises(MediaError, match=r"1 clips .* 'held' \(decoder_crashed\).*run again"):
                extract(space)
        assert "from now on" not in caplog.text
        assert extract(space) == [["held"]]
    assert "clip 'held' is masked from now on (decoder_crashed)" in caplog.text
    assert extract(space) == []
    names = [row.name for row in space.catalogue.clips("corpus")]
    plan = plan_features.fn("corpus", {"speech": SPEECH}, names, 8)
    table = feature_table(space, plan.features["speech"], names)
    assert dict(zip(table.clip_ids, table.present.tolist(), strict=True)) == {
        "first": True,
        "held": False,
        "last": True,
    }


@pytest.mark.parametrize(
    ("failed", "tried", "left_out"),
    [(1, 1, 1), (3, 200, 3), (16, 16, 16), (17, 17, 0), (120, 200, 0), (40, 200, 40)],
)
def test_where_most_of_a_shard_fails_the_machine_is_at_fault(
    tmp_path: Path, failed: int, tried: int, left_out: int
) -> None:
    contents = [f"{number:064}" for number in range(failed)]
    for _ in range(RUNS - 1):
        assert failed_too_often(tmp_path, "key", contents, tried) == frozenset()
    assert failed_too_often(tmp_path, "other", contents, tried) == frozenset()
    assert len(failed_too_often(tmp_path, "key", contents, tried)) == left_out


@pytest.mark.parametrize("damage", ["", "[]", '{"a": "x"}', "\x00"])
def test_counts_that_cannot_be_read_begin_anew(tmp_path: Path, damage: str) -> None:
    failed_too_often(tmp_path, "key", ["a"], 1)
    (tmp_path / FOLDER / "key.json").write_text(damage)
    for _ in range(RUNS - 1):
        assert not failed_too_often(tmp_path, "key", ["a"], 1)
    assert failed_too_often(tmp_path, "key", ["a"], 1) == {"a"}


def test_a_worker_that_is_stopped_once_changes_nothing(space: Workspace, corpus: Path) -> None:
    """Stopped while it decodes: it is ended, and the clip is read by another in the same run."""
    ingest(corpus)
    with ContainedMedia(limits=MediaLimits(hang_seconds=0.5)) as media:
        expected = media.decode_audio(corpus / HELD)
        (worker,) = media.process_ids
        os.kill(worker, signal.SIGSTOP)
        with pytest.raises(MediaError) as caught:
            media.decode_audio(corpus / HELD)
        assert (caught.value.reason, caught.value.transient) == (QuarantineReason.TIMED_OUT, True)
        np.testing.assert_array_equal(media.decode_audio(corpus / HELD), expected)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_clip_that_could_not_be_probed_is_probed_again_at_the_next_scan(
    space: Workspace, corpus: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    with decoders_of_the_held_clip(number, monkeypatch):
        monkeypatch.setattr("mer.media.contained.ContainedMedia.__init__", _limited_init)
        report = ingest(corpus)
    assert (report.accepted, sum(report.quarantined.values())) == (2, 1)
    (item,) = space.catalogue.quarantined("corpus")
    assert "passing" in item.detail
    monkeypatch.undo()
    monkeypatch.setenv("MER_HOME", str(corpus.parent / "home"))
    report = ingest(corpus)
    assert (report.accepted, sum(report.quarantined.values())) == (3, 0)


_init = ContainedMedia.__init__


def _limited_init(self: ContainedMedia, *arguments: object, **options: object) -> None:
    options["limits"] = MediaLimits(hang_seconds=0.5)
    _init(self, *arguments, **options)  # type: ignore[arg-type]


def test_what_could_not_be_heard_now_is_listened_to_again(
    space: Workspace, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(corpus)
    (shard,) = plan_transcription.fn("corpus", "wheel:moonshine-tiny", 8)
    with decoders_of_the_held_clip(signal.SIGKILL, monkeypatch):
        assert transcribe_shard.fn("corpus", "wheel:moonshine-tiny", shard) == 2
    assert plan_transcription.fn("corpus", "wheel:moonshine-tiny", 8) == (("held",),)


def test_processor_time_of_others_is_not_the_clips(corpus: Path) -> None:
    """Slowed to a crawl, it takes ten times its limit by the clock, and is read."""
    with ContainedMedia(limits=MediaLimits(timeout_seconds=0.3, hang_seconds=60)) as media:
        expected = media.decode_audio(corpus / HELD)
        (worker,) = media.process_ids
        os.kill(worker, signal.SIGSTOP)
        later = threading.Timer(3.0, os.kill, (worker, signal.SIGCONT))
        later.start()
        started = time.monotonic()
        np.testing.assert_array_equal(media.decode_audio(corpus / HELD), expected)
        assert time.monotonic() - started > 2.5
        later.join()
