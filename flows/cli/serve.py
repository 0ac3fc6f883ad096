"""`mer serve` and `mer ui`: the service in the foreground."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flows.cli.options import ModelOption

PORT = 8765
HostOption = Annotated[
    str,
    typer.Option(
        help="Address to listen on. Anything but this machine's own (127.0.0.1) asks for a token: MER_SERVE_TOKEN, else the "
        "home's own, which `mer password` shows."
    ),
]
PortOption = Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: one that is free.")]
HostsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="NAME[:PORT]",
        help="Further name that it is reached by, such as that of a proxy before it; may be repeated.",
        show_default=False,
    ),
]
VersionOption = Annotated[
    int | None, typer.Option(min=1, help="Version; left out: the champion, also after it changes.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command()
    def serve(
        host: HostOption = "127.0.0.1",
        port: PortOption = PORT,
        model: ModelOption = "",
        version: VersionOption = None,
        names: HostsOption = None,
        upload_megabytes: Annotated[int, typer.Option(min=1, max=4096, help="Largest request in MB.")] = 64,
        queue: Annotated[int, typer.Option(min=1, max=10_000, help="Most clips that wait; more: 429.")] = 64,
    ) -> None:
        """Answer for clips over HTTP with the champion, which may change meanwhile (docs/service.md); ends with Ctrl-C.

        /openapi.json describes it; `mer.Client` asks it; its pages are those of `mer ui`.
        """
        from flows.service.limits import ServiceLimits
        from flows.service.serving import ServeOptions

        limits = ServiceLimits(upload_bytes=upload_megabytes << 20, queue_clips=queue)
        hosts = tuple(names or ())
        _serve(
            ServeOptions(host=host, port=port, model=model, version=version, hosts=hosts, limits=limits),
            opens=False,
        )

    @app.command()
    def ui(
        port: PortOption = PORT,
        model: ModelOption = "",
        browser: Annotated[
            bool,
            typer.Option("--browser/--no-browser", help="Open the page in a browser, where there is one."),
        ] = True,
    ) -> None:
        """Open the pages: try a clip, see what each modality says, models and their history, runs.

        The same service as `mer serve`, for this machine alone; ends with Ctrl-C.
        """
        from flows.service.serving import ServeOptions

        _serve(ServeOptions(port=port, model=model), opens=browser)


def _serve(options: object, *, opens: bool) -> None:
    from flows.service.serving import ServeOptions, serve
    from infra.home import prepare_home
    from infra.services.stores import start_stores
    from infra.settings import load_settings

    assert isinstance(options, ServeOptions)
    settings = load_settings()
    prepare_home(settings.home)
    start_stores(settings)

    def announce(address: str) -> None:
        token = (
            " (asks for a token: `mer password` shows it)" if options.is_open or settings.serve_token else ""
        )
        typer.echo(f"mer answers at {address}{token}; Ctrl-C ends it")
        sys.stdout.flush()
        if opens:
            import webbrowser

            webbrowser.open(f"{address}/")

    serve(options, load_settings(), announce)
