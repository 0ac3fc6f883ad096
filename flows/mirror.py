"""A corpus in a bucket becomes a folder here before it is read: only new and changed objects are fetched."""

from __future__ import annotations

from flows.progress import StepProgress
from flows.terminal import console
from infra.objects.bucket_address import BucketAddress, is_bucket_address
from infra.settings import load_settings
from tasks.data.features import cut
from tasks.data.mirroring import bytes_of, fetch_objects, plan_mirror, remove_gone

AT_ONCE = 4
"""Shards that are fetched side by side."""


def local_corpus(corpus: str) -> str:
    """Folder of a corpus: the one given, or the local copy of a folder in a bucket, brought up to date."""
    if not is_bucket_address(corpus):
        return corpus
    settings = load_settings()
    with BucketAddress.parse(corpus, settings).alone(settings):
        plan = plan_mirror(corpus)
        progress = StepProgress("corpus", len(plan.shards))
        done = 0
        for shards in cut(plan.shards, AT_ONCE):
            running = [(shard, fetch_objects.submit(corpus, shard)) for shard in shards]
            for shard, fetching in running:
                fetching.result()
                done += bytes_of(shard)
                progress.advance(f"{done / 1e6:.0f} of {plan.bytes / 1e6:.0f} MB")
        remove_gone(corpus, plan.gone)
    console.print(f"  {plan.line}", markup=False)
    return plan.root
