"""Addresses as people may see them: without user and password, and without the values of what a query calls a secret."""

from __future__ import annotations

import re
from urllib.parse import unquote

_HIDDEN = "***"
_USER = re.compile(r"://[^/?#\s]*@")
_USER_WITH_ANY_PASSWORD = re.compile(r"://[^/?#\s@:]*:(?!\d*(?:[/?#\s'\"]|$))\S*@")
"""A password that holds `/`, `?` or `#` as it is: what stands behind the colon is no port."""
_USER_WITHOUT_SCHEME = re.compile(r"(?:(?<=[=\s'\"])|^)(?!\w+://)[^/\s:@?='\"]+:[^/\s@]*@")
_QUERY = re.compile(r"([?&;])([^=&;#\s]*)=([^&;#\s'\"]*)")
_SECRET = re.compile(r"pass|pwd|secret|key|token|signature|credential|auth|\bsig\b", re.IGNORECASE)


def shown_address(text: str) -> str:
    """The address, or every address in a text, with `***` for user and password and for secrets in its query."""
    text = _QUERY.sub(_shown_value, text)
    for user in (_USER, _USER_WITH_ANY_PASSWORD):
        text = user.sub(f"://{_HIDDEN}@", text)
    return _USER_WITHOUT_SCHEME.sub(f"{_HIDDEN}@", text)


def is_secret_name(name: str) -> bool:
    """Whether a value of this name in a query, or in a header, is one that nobody may see."""
    return _SECRET.search(name) is not None


def _shown_value(match: re.Match[str]) -> str:
    separator, name, value = match.groups()
    plain = unquote(value)
    if is_secret_name(unquote(name)) or (plain != value and shown_address(plain) != plain):
        value = _HIDDEN
    return f"{separator}{name}={value}"
