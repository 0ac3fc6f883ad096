"""Extraction in a process of its own, to be killed: ingests a corpus of recordings and extracts it shard by shard.

python extraction_worker.py CORPUS SHARD_CLIPS        prints `begin` before every shard, `ran` or `there` after it
python extraction_worker.py CORPUS SHARD_CLIPS span   all shards as one span
"""

from __future__ import annotations

import sys

import torch

from mer.features.spec import FeatureSpec
from tasks.data.features import cut, extract_shard, extract_span, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.stage.references import SpanPlan
from tasks.stage.workspace import workspace

SPEC = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny")
EMOTIONS = ("neutral", "angry")


def say(word: str) -> None:
    """A line that the test reads at once."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    """Go through the corpus."""
    torch.set_num_threads(1)
    folder, shard_clips = sys.argv[1], int(sys.argv[2])
    listing = list_corpus.fn(folder, "made", EMOTIONS)
    for entries in cut(listing.fresh, 64):
        probe_shard.fn("made", entries, True)
    write_labels.fn(listing, EMOTIONS, len(listing.fresh))
    ids = [row.name for row in workspace().catalogue.clips("made")]
    shards = plan_features.fn("made", {"acoustic": SPEC}, ids, shard_clips).shards
    if sys.argv[3:] == ["span"]:
        extract_span.fn("made", SpanPlan(shards[0].features, tuple(shard.clip_ids for shard in shards)))
        return
    for shard in shards:
        say("begin")
        say("ran" if extract_shard.fn("made", shard).ran else "there")


if __name__ == "__main__":
    main()
