"""An address of a setting: what is printed of it hides user, password and secrets of its query; all of it must be asked for.

`str()`, `repr()`, f-strings, JSON and logs show the address as `infra.shown_address` does. What connects calls
`get_secret_value()`.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl, unquote
from urllib.request import Request

from pydantic import SecretStr
from pydantic_core import CoreSchema, core_schema

from infra.shown_address import is_secret_name, shown_address


class Address(SecretStr):
    """A URL that may hold a password, e.g. `postgresql://mer:PASSWORD@db/mer`; shown as `postgresql://***@db/mer`."""

    def _display(self) -> str:
        return shown_address(self._secret_value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._of, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )

    @classmethod
    def _of(cls, value: object) -> Address:
        if isinstance(value, SecretStr):
            return cls(value.get_secret_value())
        if isinstance(value, str):
            return cls(value)
        raise ValueError("expected an address")


def without_user(url: str) -> tuple[str, str | None]:
    """The URL without its user and password, and these as `USER:PASSWORD`, unquoted; None where it has none."""
    scheme, mark, rest = url.partition("://")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    user, found, host = rest[:end].rpartition("@")
    if not mark or not found:
        return url, None
    return f"{scheme}://{host}{rest[end:]}", unquote(user if ":" in user else f"{user}:")


def request_to(url: str) -> Request:
    """A request whose user and password, if the URL has them, are in its header: urllib takes them for part of the host."""
    plain, user = without_user(url)
    request = Request(plain)
    if user is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode('ascii')}")
    return request


def secrets_of(url: str) -> list[str]:
    """USER:PASSWORD, the password and the secrets of the query of a URL, as they stand there and unquoted."""
    user = url.partition("://")[2].rpartition("@")[0]
    _, colon, password = user.partition(":")
    secrets = [user, password] if colon else [user]
    for item in url.partition("?")[2].split("&"):
        name, _, value = item.partition("=")
        if is_secret_name(unquote(name)):
            secrets.append(value)
    secrets += [value for name, value in parse_qsl(url.partition("?")[2]) if is_secret_name(name)]
    return [secret for secret in dict.fromkeys([*secrets, *map(unquote, secrets)]) if secret]
