"""Content hash of a media file: the identity of a clip."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mer.errors import MediaError, QuarantineReason


def sha256_file(path: Path) -> str:
    """Return the sha256 (64 hex digits) of the file's bytes, read in blocks.

    Raises:
        MediaError: the file cannot be opened or read (`missing_media`), or is no regular file.
    """
    if not path.is_file():  # a FIFO would block for ever on open
        reason = QuarantineReason.NOT_A_REGULAR_FILE if path.exists() else QuarantineReason.MISSING_MEDIA
        raise MediaError(reason, f"expected a regular file to hash, found none at {path!s}")
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(QuarantineReason.MISSING_MEDIA, f"cannot read {path!s}: {error}") from error
