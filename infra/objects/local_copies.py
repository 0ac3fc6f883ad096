"""Folders in buckets as folders here, for what runs outside of a flow (a flow does the same in tasks)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from infra.objects.bucket_address import BucketAddress, is_bucket_address
from infra.settings import Settings

AT_ONCE = 8
"""Objects fetched side by side."""

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) of a bucket."""


def local_paths(paths: Sequence[str], settings: Settings, progress: Progress | None = None) -> list[str]:
    """The paths with local copies, brought up to date, in place of addresses of buckets.

    Raises:
        SettingsError, StoreUnavailable, StoreFull: see `BucketMirror`.
    """
    return [_local_copy(path, settings, progress) if is_bucket_address(path) else path for path in paths]


def _local_copy(address: str, settings: Settings, progress: Progress | None) -> str:
    from infra.objects.mirror import BucketMirror  # the S3 clients take .5 s to import

    mirror = BucketMirror(BucketAddress.parse(address, settings), settings)
    with mirror.address.alone(settings):
        plan = mirror.plan()
        done = 0
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as pool:
            for count in pool.map(lambda item: mirror.fetch([item]), plan.fetch):
                done += count
                if progress is not None:
                    progress(done, plan.bytes)
        mirror.remove(plan.gone)
    return str(mirror.root)
