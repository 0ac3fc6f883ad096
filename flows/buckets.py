"""Folders in buckets for people who wait: a bar while their local copies are brought up to date."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


def local_paths_with_bar(paths: Sequence[str]) -> list[str]:
    """The paths with local copies in place of folders in buckets; see `infra.objects.local_copies.local_paths`."""
    from infra.objects.bucket_address import is_bucket_address

    if not any(map(is_bucket_address, paths)):
        return list(paths)
    from infra.objects.local_copies import local_paths
    from infra.settings import load_settings

    with progress_bar("fetching") as progress:
        return local_paths(paths, load_settings(), progress)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error, with the time left, where people look at it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(transient=True, console=Console(stderr=True)) as bar:
        line = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(line, completed=done, total=total)
