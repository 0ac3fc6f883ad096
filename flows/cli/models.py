"""`mer models`: versions, champions, and what people decide on them."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import ApproveOption, OneModelArgument, PromoteOption, RejectOption, WhyOption
from flows.cli.outcome import wrong_usage


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def models(
        model: OneModelArgument = "",
        rollback: Annotated[bool, typer.Option(help="Put the previous champion of MODEL back.")] = False,
        promote: PromoteOption = None,
        approve: ApproveOption = None,
        reject: RejectOption = None,
        reason: Annotated[
            str, typer.Option(help="Why, with --promote, --approve or --reject: kept in the audit.")
        ] = "",
        why: WhyOption = False,
        version: Annotated[int | None, typer.Option(help="With --why: only this version.")] = None,
    ) -> None:
        """List versions, champions and the audit of promotions; `--rollback` puts the previous champion back.

        --promote makes a version champion by hand, whatever the gate said: its evidence is shown and kept in the audit.
        --approve and --reject answer for a version that passed the gate and waits (`gate.approval: required` in the recipe).
        --why answers who decided what, when, from which version to which, why, and on which evidence.
        """
        from flows import inspection

        asked = {"rollback": rollback or None, "promote": promote, "approve": approve, "reject": reject}
        given = [name for name, value in asked.items() if value is not None]
        if len(given) > 1:
            wrong_usage(
                f"expected one of --rollback, --promote, --approve and --reject, found --{' and --'.join(given)}"
            )
        if (given or why) and not model:
            wrong_usage(f"--{given[0] if given else 'why'} needs the MODEL; `mer models` lists them")
        if rollback:
            inspection.roll_back(model)
        if promote is not None:
            inspection.promote(model, promote, reason)
        if approve is not None:
            inspection.approve(model, approve, reason)
        if reject is not None:
            inspection.reject(model, reject, reason)
        if why:
            from flows.decisions import show_why

            show_why(model, version)
            return
        inspection.show_models(model)
