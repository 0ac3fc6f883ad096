"""Commands for generations of pseudo-labels: what there is, who voted, and taking one out of training."""

from __future__ import annotations

from typing import Annotated

import typer

generations = typer.Typer(
    help="Generations of pseudo-labels: list them, trace a clip's labels, withdraw, restore or release one.",
    invoke_without_command=True,
    no_args_is_help=False,
)
Generation = Annotated[
    str, typer.Argument(help="Number or key (or its beginning), as `mer generations` lists them.")
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


@generations.callback()
def listed(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", help="Only of this corpus.")] = "",
    recipe: Annotated[str, typer.Option(help="Only of this recipe (its name).")] = "",
) -> None:
    """List generations of pseudo-labels: live ones are trained on, stopped and withdrawn ones wait for you."""
    if context.invoked_subcommand is None:
        from flows.generations import show_generations

        show_generations(name, recipe)


@generations.command()
def show(generation: Generation) -> None:
    """Show a generation: voters, thresholds and held-out precision by class, what the guards measured."""
    from flows.generations import show_generation_details

    show_generation_details(generation)


@generations.command()
def trace(clip: Annotated[str, typer.Argument(help="Name or id of a clip.")]) -> None:
    """Show every pseudo-label a clip was given, and the models that voted for it."""
    from flows.generations import show_trace

    show_trace(clip)


@generations.command()
def withdraw(generation: Generation, reason: Reason = "") -> None:
    """Take a live generation out of training: the next run trains on exactly what there was without it."""
    from flows.generations import withdraw_generation

    withdraw_generation(generation, reason)


@generations.command()
def restore(generation: Generation, reason: Reason = "") -> None:
    """Put a withdrawn generation back into training."""
    from flows.generations import restore_generation

    restore_generation(generation, reason)


@generations.command()
def release(generation: Generation, reason: Reason = "") -> None:
    """Let the clips of a stopped or withdrawn generation be voted on again by the next refresh."""
    from flows.generations import release_generation

    release_generation(generation, reason)
