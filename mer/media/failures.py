"""Whatever fails over one clip is that clip's reason, never the end of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mer.errors import MediaError, MerError, QuarantineReason
from mer.media.sniff import printable


@contextmanager
def failures_of(name: str) -> Iterator[None]:
    """Turn what is raised in the block, by whatever library, into the MediaError of the clip `name`.

    Errors of ours pass as they are (weights that are absent concern every clip). Too little memory in this process is
    transient: it says as much of what else runs as of the clip.

    Raises:
        MediaError: `decode_failed`, or `too_large` (transient).
    """
    try:
        yield
    except MerError:
        raise
    except MemoryError as error:
        message = f"{printable(name)}: takes more memory than there is now"
        raise MediaError(QuarantineReason.TOO_LARGE, message, transient=True) from error
    except Exception as error:
        message = f"{printable(name)}: {type(error).__name__}: {error}"
        raise MediaError(QuarantineReason.DECODE_FAILED, message) from error
