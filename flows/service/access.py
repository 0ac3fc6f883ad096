"""Who may ask the service: on this machine whoever asks for the right host from no foreign page; elsewhere who has the token.

The token is sent as `Authorization: Bearer TOKEN`, or by a browser as password of the user `mer`.
"""

from __future__ import annotations

from collections.abc import Sequence

from flows.service.problems import PROBLEM_JSON, problem_body
from infra.loopback import HOSTS
from infra.services.guard import Application, Guard
from infra.services.home_secrets import USER, made_up_secret
from infra.settings import Settings

PUBLIC = ("/health",)
SECRET = "serve"


def token_of(settings: Settings, host: str) -> str | None:
    """The token that is asked for: `MER_SERVE_TOKEN`; beyond this machine otherwise the home's own; here otherwise none.

    Raises:
        ServiceFailed: the home's file of it holds nothing.
    """
    if settings.serve_token is not None:
        return settings.serve_token.get_secret_value()
    return None if host in HOSTS else made_up_secret(settings, SECRET)


def hosts_of(host: str, port: int, named: Sequence[str] = ()) -> list[str]:
    """Values of `Host` that are let through, HOST:PORT: this machine's loopback, the one listened on, and those named."""
    own = [f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in dict.fromkeys((*HOSTS, host))]
    return [*own, *(name if ":" in name else f"{name}:{port}" for name in named)]


def guarded(application: Application, hosts: Sequence[str], token: str | None) -> Application:
    """The application behind the guard of the other local servers; it answers refusals as problems."""
    credentials = None if token is None else (USER, token)
    return Guard(application, hosts, credentials=credentials, public=PUBLIC, bearer=True, refusal=_problem)


def _problem(status: int, reason: str) -> tuple[str, bytes]:
    if status == 401:
        detail = (
            "expected `Authorization: Bearer TOKEN` (or user mer and the token as password), found none or a wrong one: "
            "`mer password` shows it"
        )
        return PROBLEM_JSON, problem_body(401, "token_required", detail)
    return PROBLEM_JSON, problem_body(status, "refused", reason)
