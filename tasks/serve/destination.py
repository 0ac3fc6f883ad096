"""The file that answers are written to: checked before anything is computed, and there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from mer.errors import ConfigError

_PART = ".part"


class Destination:
    """A file to write, in a folder that is made.

    Args:
        path: the file; one that exists is replaced in one step when all is written, so that a reader never sees half of it.

    Raises:
        ConfigError: it cannot be written: a folder, a file in place of a folder, no permission, no space.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.is_dir():
                raise ConfigError(f"predictions: expected a file to write, found the folder {str(path)!r}")
            self._target = path.resolve()
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._special = self._target.exists() and not self._target.is_file()  # a device, a pipe
            if not self._special:
                self._check_replaceable()
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            raise self._refused(error) from error

    def write(self, text: str) -> None:
        """Write the text as UTF-8; nothing of what was there is lost where that fails.

        Raises:
            ConfigError: no space, or the folder cannot be written to any more; says where the text is instead.
        """
        data = text.encode("utf-8")
        try:
            if self._special:
                self._target.write_bytes(data)
            else:
                self._replace(data)
        except OSError as error:
            raise self._refused(error, _rescued(data, self.path.suffix), len(data)) from error

    def _check_replaceable(self) -> None:
        if self._target.exists() and not self._target.stat().st_mode & 0o222:
            raise ConfigError(
                f"predictions: {str(self.path)!r} is read-only: name another file, or remove it"
            )
        handle, name = tempfile.mkstemp(_PART, f".{self._target.name[:100]}.", self._target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(b" " * 4096)  # a full disk takes an empty file
                file.flush()
                os.fsync(file.fileno())
        finally:
            Path(name).unlink()

    def _replace(self, data: bytes) -> None:
        handle, name = tempfile.mkstemp(_PART, f".{self._target.name[:100]}.", self._target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(self._mode())
            Path(name).replace(self._target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def _mode(self) -> int:
        """Permissions of the file that is replaced; of a new one, those that any new file has."""
        with contextlib.suppress(OSError):
            return stat.S_IMODE(self._target.stat().st_mode)
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask

    def _refused(self, error: Exception, rescued: str = "", size: int = 0) -> ConfigError:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        bytes_wanted = f" ({size} bytes)" if size else ""
        instead = f"; they are in {rescued} instead" if rescued else ""
        return ConfigError(
            f"predictions: {str(self.path)!r} cannot be written{bytes_wanted}: {reason}{instead}"
        )


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
