"""Serves the metrics of a home: `python -m infra.metrics --port PORT [--host HOST] [--hosts NAME:PORT,...]`.

The password (user mer) is `MER_METRICS_PASSWORD`, else the home's own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from infra.errors import InfraError
from infra.metrics.gathering import Gatherer
from infra.metrics.server import MetricsServer
from infra.observing import observe
from infra.services.guard import Guard
from infra.services.home_secrets import USER, made_up_secret
from infra.services.servers import LOOPBACK
from infra.settings import load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.metrics", description=__doc__)
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument(
        "--hosts", default="", help="names that it is reached by, HOST:PORT, separated by commas"
    )
    chosen = parser.parse_args(arguments)
    hosts = [f"{LOOPBACK}:{chosen.port}", f"localhost:{chosen.port}", *chosen.hosts.split(",")]
    try:
        settings = load_settings()
        known = settings.metrics_password
        password = made_up_secret(settings, "metrics") if known is None else known.get_secret_value()
    except InfraError as error:
        print(f"metrics: {error}", file=sys.stderr)  # noqa: T201
        return 1
    observe(settings, "metrics")
    import uvicorn

    server = Guard(
        MetricsServer(Gatherer(settings)), hosts, credentials=(USER, password), public=("/health",)
    )
    uvicorn.run(
        server,
        host=chosen.host,
        port=chosen.port,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
