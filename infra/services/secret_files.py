"""Starts a program with secrets out of files, where containers have them: none stands in a compose file or in `docker inspect`.

    python -m infra.services.secret_files COMMAND [ARGUMENT ...]

Of every variable `NAME__FILE` the file's content becomes the variable `NAME`, and `{NAME}` in any other variable that begins with
`MER_` or `PREFECT_` stands for it, as in `MER_DATABASE_URL=postgresql://mer:{POSTGRES_PASSWORD}@postgres/mer`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from infra.errors import SettingsError

_SUFFIX = "__FILE"
"""Two underscores: other programs have variables of their own that end with one (`SSL_CERT_FILE`)."""
_NAMED = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")
_FILLED = ("MER_", "PREFECT_")


def with_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with secrets in the places of their files.

    Raises:
        SettingsError: a file cannot be read or is empty, or a variable names a secret without a file.
    """
    files = {name: path for name, path in environment.items() if name.endswith(_SUFFIX) and path}
    secrets = {name.removesuffix(_SUFFIX): _read(name, path) for name, path in files.items()}
    others = {name: value for name, value in environment.items() if name not in files}
    filled = {
        name: _filled(name, value, secrets) if name.startswith(_FILLED) else value
        for name, value in others.items()
    }
    return {**filled, **secrets}


def _read(name: str, path: str) -> str:
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{name}: expected a file with a secret, found none at {path}: {error}"
        ) from error
    if not secret:
        raise SettingsError(f"{name}: expected a secret in {path}, found an empty file")
    return secret


def _filled(name: str, value: str, secrets: Mapping[str, str]) -> str:
    """A URL's part is quoted, as nobody knows which characters a secret has."""
    missing = sorted({found for found in _NAMED.findall(value) if found not in secrets})
    if missing:
        raise SettingsError(
            f"{name}: expected a variable {missing[0]}{_SUFFIX} for {{{missing[0]}}}, found none"
        )
    is_url = "://" in value
    return _NAMED.sub(lambda match: quote(secrets[match[1]], safe="") if is_url else secrets[match[1]], value)


def main(command: Sequence[str]) -> int:
    """Become the program; returns an exit code only where it cannot."""
    if not command:
        print("secret_files: expected a command", file=sys.stderr)  # noqa: T201
        return 2
    try:
        environment = with_secrets(os.environ)
        os.execvpe(command[0], list(command), environment)
    except (SettingsError, OSError) as error:
        print(f"{command[0]}: {error}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
