"""`mer review`: clips that wait for a person, what people decided, exchange with annotation tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli.outcome import UNUSABLE_INPUTS, wrong_usage

OrderOption = Annotated[
    Literal["uncertainty", "influence", "errors", "random"],
    typer.Option(
        "--order",
        help="uncertainty: clips without a true label, least sure first; influence: whose label would change the model most; "
        "errors: labelled clips, likely label errors first; random.",
    ),
]
ExportOption = Annotated[
    Path | None,
    typer.Option(
        "--export", metavar="FILE", help="Write the queue as tasks for --format.", show_default=False
    ),
]
ImportOption = Annotated[
    Path | None,
    typer.Option(
        "--import",
        metavar="FILE",
        help="Write the answers of an export of --format as decisions.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def review(
        model: Annotated[
            str, typer.Argument(help="Name of the model; the one promoted last, if left out.")
        ] = "",
        order: OrderOption = "uncertainty",
        version: Annotated[int | None, typer.Option(help="Of the model; its champion, if left out.")] = None,
        count: Annotated[int, typer.Option(min=1, max=1000, help="Clips that are listed.")] = 10,
        status: Annotated[
            bool, typer.Option("--status", help="Say what was decided, by whom, and what it gave.")
        ] = False,
        export: ExportOption = None,
        taken: ImportOption = None,
        format: Annotated[
            Literal["label-studio"], typer.Option(help="Of --export and --import.")
        ] = "label-studio",
    ) -> None:
        """List the clips that a person should look at first; the page of `mer ui` plays them and asks.

        Reviewed labels count as labels from the next `mer run` or `mer refresh` on (`mer watch --reviews` starts it). Clips
        of the test and canary parts are never asked about. Exit code 3: some answers of --import could
        not be written; they are listed.
        """
        from flows import review as shown
        from mer.review.orders import Order

        given = [name for name, value in (("status", status), ("export", export), ("import", taken)) if value]
        if len(given) > 1:
            wrong_usage(f"expected one of --status, --export and --import, found --{' and --'.join(given)}")
        chosen = Order(order)
        if status:
            shown.show_status(model, version)
        elif export is not None:
            shown.export(model, version, chosen, export)
        elif taken is not None:
            if shown.take_in(model, version, chosen, taken):
                raise typer.Exit(UNUSABLE_INPUTS)
        else:
            shown.show_queue(model, version, chosen, count)
