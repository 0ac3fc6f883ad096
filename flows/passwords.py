"""The passwords of the UIs, shown to a person at a terminal and to nothing else."""

from __future__ import annotations

import sys

import typer

from infra.errors import SettingsError
from infra.services import status
from infra.services.home_secrets import USER, made_up_secret, secret_file
from infra.settings import Settings, load_settings

_SERVERS = {"prefect": "Prefect", "mlflow": "MLflow", "metrics": "metrics", "serve": "clips"}


def show_passwords() -> None:
    """Print address, user and password of the local Prefect and MLflow UIs, of the page of metrics, and the token of `mer serve`.

    Raises:
        SettingsError: the output is no terminal, or this home has no local server.
    """
    settings = load_settings()
    files = {name: secret_file(settings, name) for name in _SERVERS}
    there = {name: file for name, file in files.items() if file.exists()}
    if not there:
        raise SettingsError(
            f"expected passwords of local servers in {settings.services_folder}, found none: `mer up` makes servers and "
            "passwords; a server elsewhere has its own"
        )
    if not sys.stdout.isatty():
        raise SettingsError(
            "passwords are printed to a terminal only: expected one as standard output, found a file or a pipe; they lie in "
            f"{' and '.join(map(str, there.values()))} (user {USER}), which only you may read"
        )
    addresses = {service.name: service.address for service in status(settings)}
    for name in there:
        for line in _lines(name, addresses.get(name), settings):
            typer.echo(line)


def _lines(name: str, address: str | None, settings: Settings) -> tuple[str, ...]:
    password = made_up_secret(settings, name)
    where = address or "does not run (`mer up` starts it)"
    if name == "prefect":  # its page has one field, for both
        return (f"{_SERVERS[name]:<8} {where}", f"         enter    {USER}:{password}")
    return (f"{_SERVERS[name]:<8} {where}", f"         user     {USER}", f"         password {password}")
