"""A path that a caller gives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mer.errors import ConfigError
from mer.library.arrays import described


def path_of(what: str, value: Any) -> Path:
    """The path; `~` is the home folder.

    Raises:
        ConfigError: neither a string nor a path.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise ConfigError(f"{what}: expected a path, found {described(value)}")
    return Path(value).expanduser()
