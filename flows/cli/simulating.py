"""`--simulate-drift` and `--simulate-poison`: stories in place of a run, as options beside the run's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from flows.cli.group import interruptible, is_verbose
from flows.cli.options import SimulateDriftOption, SimulatePoisonOption
from flows.cli.outcome import wrong_usage

Command = Callable[..., None]
_STORIES = {"simulate_drift": SimulateDriftOption, "simulate_poison": SimulatePoisonOption}


def or_simulates(command: Command) -> Command:
    """Give a command two options that play a story in a home of its own; no other option goes with them."""
    signature = inspect.signature(command)

    @wraps(command)
    def simulating(**values: Any) -> None:
        asked = [name for name in _STORIES if values.pop(name)]
        if not asked:
            command(**values)
            return
        if len(asked) > 1:
            wrong_usage("expected --simulate-drift or --simulate-poison, found both")
        if any(value != signature.parameters[name].default for name, value in values.items()):
            wrong_usage(
                "a simulation makes its own corpus, recipe and home: leave all other options of the run out"
            )
        _play(asked[0])

    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in _STORIES.items()
    ]
    parameters = [*signature.parameters.values(), *options]
    simulating.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    simulating.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return simulating


def _play(story: str) -> None:
    """Exit code 1 where it did not end as told."""
    interruptible()
    from flows.cli.local import servers, show_addresses
    from flows.simulation.drift_story import tell_drift
    from flows.simulation.poison_story import tell_poison

    tell = tell_drift if story == "simulate_drift" else tell_poison
    if not tell(lambda: show_addresses(servers()), verbose=is_verbose()):
        raise typer.Exit(1)
