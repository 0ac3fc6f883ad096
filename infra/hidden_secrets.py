"""Secrets of the settings in texts that others write: exceptions of clients, their logs, tracebacks.

What we print of an address goes through `infra.shown_address`. Clients put URLs and headers into messages of theirs; so every
secret that the settings hold is known here, and taken out of what this process logs, says of an error, or writes of a traceback.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import traceback
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

from infra.shown_address import shown_address

_HIDDEN = "***"
_SHORTEST = 5
"""A shorter secret (`mer`) would be taken out of words; addresses that hold one are hidden as addresses all the same."""

_known: tuple[str, ...] = ()
_lock = threading.Lock()


def hide(secrets: Iterable[str]) -> None:
    """Know these secrets from now on, in the forms they take in URLs, JSON and headers; the first time, watch what is logged."""
    global _known
    forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
    with _lock:
        if not forms <= set(_known):
            _known = tuple(
                sorted(forms | set(_known), key=len, reverse=True)
            )  # a whole one before its beginning
            _watch_logs()


def hidden(text: str) -> str:
    """The text with `***` for every known secret, and addresses as `shown_address` gives them."""
    for secret in _known:
        text = text.replace(secret, _HIDDEN)
    return shown_address(text)


def traceback_of(error: BaseException) -> str:
    """The whole traceback, with its secrets hidden."""
    return hidden("".join(traceback.format_exception(error)))


def _forms(secret: str) -> set[str]:
    plain = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    return plain | {base64.b64encode(secret.encode()).decode("ascii").rstrip("=")}


def _watch_logs() -> None:
    make = logging.getLogRecordFactory()
    if getattr(make, "hides_secrets", False):
        return

    def made(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = make(*arguments, **named)
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit: logging says so itself
            return record
        if (shown := hidden(message)) != message:
            record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[1] is not None:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            if (shown := hidden(text)) != text:
                record.exc_text, record.exc_info = (
                    shown,
                    None,
                )  # formatters write this in place of the exception
        return record

    made.hides_secrets = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(made)
