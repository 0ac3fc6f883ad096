"""The library's exception tree.

    MerError                 expected / found / what to do, plus data attributes
    ├── ConfigError          a recipe or parameter that cannot work
    ├── CorpusError          a corpus folder or table that cannot be read
    ├── MediaError           one clip's media is unusable; carries a QuarantineReason
    ├── DecoderUnavailable   transient: the process that decodes media does not start
    ├── WeightsError         encoder weights absent, unsafe or not what was pinned
    ├── WriteFailed          a file that cannot be written; carries path and bytes
    │   └── DiskFull         because no space is left
    └── DivergedError        training produced NaN or infinity and did not recover

`transient` says whether trying the same thing again may help. Stores have their own tree in `infra.errors`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

UNREADABLE = (
    OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError,
)  # fmt: skip
"""What reading a record may raise that is damaged or made on purpose: any JSON, of any depth, in place of what is expected."""


class QuarantineReason(StrEnum):
    """Why a clip was set aside instead of ingested (stored in the catalogue as the code)."""

    EMPTY_FILE = "empty_file"
    NOT_MEDIA = "not_media"
    TRUNCATED = "truncated"
    NO_AUDIO = "no_audio"
    NO_USABLE_STREAM = "no_usable_stream"
    BAD_SAMPLE_RATE = "bad_sample_rate"
    TOO_LONG = "too_long"
    TOO_LARGE = "too_large"
    UNSAFE_NAME = "unsafe_name"
    UNSAFE_CONTAINER = "unsafe_container"
    NOT_A_REGULAR_FILE = "not_a_regular_file"
    DECODE_FAILED = "decode_failed"
    DECODER_CRASHED = "decoder_crashed"
    TIMED_OUT = "timed_out"
    MISSING_MEDIA = "missing_media"
    BAD_FEATURES = "bad_features"
    CONFLICTING_LABELS = "conflicting_labels"
    OUTSIDE_ROOT = "outside_root"
    AMBIGUOUS_MEDIA = "ambiguous_media"


class MerError(Exception):
    """Base of all errors of the library; the message says what was expected, what was found, what to do."""

    transient: bool = False


class ConfigError(MerError):
    """A recipe, option or parameter that cannot work as given."""


class CorpusError(MerError):
    """A corpus that cannot be read as a whole (single clips are quarantined instead)."""


class MediaError(MerError):
    """One clip's media cannot be used; `reason` is the quarantine code.

    A `transient` one says something of the machine at that moment (a decoder that was killed from outside, a disk that did
    not answer), not of the file: it is reported, never stored as a fact, and the clip is tried again at the next run.
    """

    def __init__(self, reason: QuarantineReason, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.transient = transient


class DecoderUnavailable(MerError):
    """The process that decodes media does not start: no clip can be read now."""

    transient = True


class WeightsError(MerError):
    """Encoder weights are absent, unsafe, or do not match their pinned identity."""


class WriteFailed(MerError):
    """The file at `path` cannot be written, for `reason`; `bytes_requested` is its size (None where unknown).

    What was there before is unchanged.
    """

    def __init__(self, path: str, bytes_requested: int | None, reason: str) -> None:
        size = "" if bytes_requested is None else f" ({bytes_requested} bytes)"
        super().__init__(f"cannot write {path}{size}: {reason}; make it writable and run again")
        self.path = path
        self.bytes_requested = bytes_requested
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.bytes_requested, self.reason)


class DiskFull(WriteFailed):
    """No space is left, or none for this user, where the file at `path` was to be written."""

    def __init__(self, path: str, bytes_requested: int | None, reason: str = "no space left") -> None:
        super().__init__(path, bytes_requested, reason)
        size = "an unknown number of" if bytes_requested is None else str(bytes_requested)
        self.args = (f"no space left: {size} bytes wanted for {path}; free some and run again",)


class DivergedError(MerError):
    """Training produced non-finite values and did not recover."""
