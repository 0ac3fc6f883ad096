"""Task runs of large corpora: few, of whole shards, smaller toward the end; a killed one loses the shard that it was at."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from itertools import pairwise
from math import ceil
from pathlib import Path

import pytest
from extraction_worker import SPEC
from registered_shards import registered_shards

from benchmarks.extraction.growing_corpus import write_recordings
from mer.features.spec import FeatureSpec
from tasks.data.features import cut, extract_shard, extract_span, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.data.spans import SMALL_CORPUS, SPAN_CLIPS, extraction_spans, span_sizes, spans_of
from tasks.stage.references import FeatureSetRef, ShardPlan, SpanPlan
from tasks.stage.workspace import Workspace, workspace

WORKER = Path(__file__).parent / "extraction_worker.py"
CLIPS, SHARD_CLIPS = 40, 8


@pytest.mark.parametrize("shard_clips", [1, 16, 64, 100, 256, 400, 512, 700, 1000, 4096])
def test_task_runs_are_at_most_two_for_each_thousand_clips(shard_clips: int) -> None:
    most = 200_000 if shard_clips >= 64 else 20_000
    counts = {1, 999, 1000, 1001, 4999, 5000, 5001, 5120, 5999, 6000, 6001, 10_000, most}
    counts |= set(random.Random(shard_clips).sample(range(1, most), 300))
    for clips in sorted(counts):
        shards = ceil(clips / shard_clips)
        for corpus in {clips, max(clips, SMALL_CORPUS + 1), 200_000}:
            sizes = span_sizes(shards, clips, corpus)
            assert sum(sizes) == shards and min(sizes) >= 1
            if corpus <= SMALL_CORPUS:
                assert len(sizes) == shards
            else:
                assert len(sizes) <= min(shards, 2 * ceil(clips / 1000)), (clips, corpus)


def test_the_last_runs_are_short_and_none_is_long() -> None:
    sizes = span_sizes(ceil(100_000 / 256), 100_000, 100_000)
    assert all(before >= after for before, after in pairwise(sizes))
    assert sizes[0] == SPAN_CLIPS // 256 and sizes[-16:] == [1] * 16
    by_8, by_1 = busiest(sizes, workers=8), sum(sizes)
    assert by_8 - by_1 / 8 <= 1, "the end is shared evenly: nobody is more than a shard behind"


def busiest(sizes: list[int], workers: int) -> int:
    """Shards of the worker that ends last, where each takes the next run as it ends one."""
    done = [0] * workers
    for size in sizes:
        done[done.index(min(done))] += size
    return max(done)


def test_spans_hold_whole_shards_of_the_same_features_in_their_order() -> None:
    speech, text = (
        FeatureSetRef(name, name, FeatureSpec(modality=kind, source="wheel:x"), "c")
        for name, kind in (("speech", "acoustic"), ("text", "lexical"))
    )
    names = [f"clip{number:05d}" for number in range(6_000)]
    shards = [ShardPlan((feature,), part) for feature in (speech, text) for part in cut(names, 256)]
    spans = extraction_spans(shards, 6_000)
    assert [part for span in spans for part in span.shards] == [shard.clip_ids for shard in shards]
    assert [span.features for span in spans] == sorted(
        (span.features for span in spans), key=lambda one: one[0].key
    )
    assert len(spans) <= 2 * 2 * 6
    assert [len(span.shards) for span in extraction_spans(shards[:3], 700)] == [1, 1, 1]
    joined = spans_of(cut(names, 256), 6_000)
    assert [name for some in joined for name in some] == names and len(joined) <= 12


def ingested(home: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(home))
    listing = list_corpus.fn(str(corpus), "made", ("neutral", "angry"))
    write_labels.fn(listing, ("neutral", "angry"), probe_shard.fn("made", listing.fresh, True))
    return workspace()


def bytes_of_shards(space: Workspace) -> dict[tuple[str, str], str]:
    return {(key, ref.key): ref.sha256 for key, ref in registered_shards(space.settings)}


@pytest.mark.slow
def test_a_killed_span_loses_the_shard_that_it_was_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recordings(tmp_path / "corpus", range(CLIPS))
    space = ingested(tmp_path / "home", tmp_path / "corpus", monkeypatch)
    ids = [row.name for row in space.catalogue.clips("made")]
    shards = plan_features.fn("made", {"acoustic": SPEC}, ids, SHARD_CLIPS).shards
    span = SpanPlan(shards[0].features, tuple(shard.clip_ids for shard in shards))
    with subprocess.Popen(
        [sys.executable, str(WORKER), str(tmp_path / "corpus"), str(SHARD_CLIPS), "span"],
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        until = time.monotonic() + 120
        while (before := len(registered_shards(space.settings))) < 2:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.005)
        process.kill()
    before = len(registered_shards(space.settings))
    assert 2 <= before < len(shards), "it was killed in the middle"
    results = extract_span.fn("made", span)
    assert sum(result.ran for result in results) in (len(shards) - before, len(shards) - before - 1)
    by_spans = bytes_of_shards(space)
    alone = ingested(tmp_path / "other", tmp_path / "corpus", monkeypatch)
    for shard in shards:
        assert extract_shard.fn("made", shard).ran
    assert bytes_of_shards(alone) == by_spans and len(by_spans) == len(shards)
