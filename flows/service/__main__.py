"""How `mer up` starts the service: `python -m flows.service --port PORT [--host HOST] [--hosts NAMES] [--model MODEL]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from infra.errors import InfraError
from mer.errors import MerError


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.service", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--hosts", default="", help="names that it is reached by, separated by commas")
    parser.add_argument("--model", default="")
    chosen = parser.parse_args(arguments)
    from flows.service.serving import ServeOptions, serve
    from infra.settings import load_settings

    hosts = tuple(name for name in chosen.hosts.split(",") if name.strip())
    options = ServeOptions(host=chosen.host, port=chosen.port, hosts=hosts, model=chosen.model)
    try:
        serve(options, load_settings())
    except (InfraError, MerError) as error:
        print(f"serve: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
