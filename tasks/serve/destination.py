"""The file that answers are written to: checked before anything is computed, and there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

from mer.errors import ConfigError, WriteFailed
from mer.whole_files import sweep_beside, temporary_name, write_whole

_TRIAL = b" " * 4096
"""A full disk takes an empty file."""


class AnswersNotWritten(WriteFailed):
    """Answers that cannot be written where they belong; `rescued` is the file that they are in instead (empty: none)."""

    def __init__(self, path: str, bytes_requested: int | None, reason: str, rescued: str = "") -> None:
        super().__init__(path, bytes_requested, reason)
        self.rescued = rescued
        size = f" ({bytes_requested} bytes)" if bytes_requested else ""
        instead = f"; they are in {rescued} instead" if rescued else ""
        self.args = (f"predictions: {path!r} cannot be written{size}: {reason}{instead}",)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.bytes_requested, self.reason, self.rescued)


class Destination:
    """A file to write, in a folder that is made.

    Args:
        path: the file; one that exists is replaced in one step when all is written, so that a reader never sees half of it.

    Raises:
        ConfigError: it is a folder, or read-only.
        AnswersNotWritten: it cannot be written: a file in place of a folder, no permission, no space.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.is_dir():
                raise ConfigError(f"predictions: expected a file to write, found the folder {str(path)!r}")
            self._target = path.resolve()
            self._target.parent.mkdir(parents=True, exist_ok=True)
            if not self._target.exists() or self._target.is_file():  # else a device, a pipe
                self._check_replaceable()
        except WriteFailed as error:
            raise AnswersNotWritten(str(path), None, error.reason) from error
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            raise AnswersNotWritten(str(path), None, _reason(error)) from error

    def write(self, text: str) -> None:
        """Write the text as UTF-8; nothing of what was there is lost where that fails.

        Raises:
            AnswersNotWritten: no space, or the folder cannot be written to any more; says where the text is instead.
        """
        data = text.encode("utf-8")
        try:
            write_whole(self._target, data)
        except WriteFailed as error:
            rescued = _rescued(data, self.path.suffix)
            raise AnswersNotWritten(str(self.path), len(data), error.reason, rescued) from error

    def _check_replaceable(self) -> None:
        if self._target.exists() and not self._target.stat().st_mode & 0o222:
            raise ConfigError(
                f"predictions: {str(self.path)!r} is read-only: name another file, or remove it"
            )
        sweep_beside(self._target)
        trial = self._target.with_name(temporary_name(self._target.name))
        write_whole(trial, _TRIAL)
        trial.unlink()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _rescued(data: bytes, suffix: str) -> str:
    """Where the answers lie that could not be written where they belong; empty where there is no space at all."""
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(suffix, "mer-predictions-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            return name
        except OSError:
            Path(name).unlink(missing_ok=True)
    return ""
