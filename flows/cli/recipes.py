"""Commands for recipes: which there are, and every option of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import SetOption

if TYPE_CHECKING:
    from rich.console import Console

    from mer.recipes.describe import OptionDescription

WIDEST = 110
"""Columns beyond which lines of prose are hard to read."""

LEGEND = (
    "* differs from the default",
    "- left out, with all below it",
    "--set PATH=VALUE changes an option, in every command that has --recipe",
)


def recipes(
    name: Annotated[
        str,
        typer.Argument(
            help="A built-in recipe or a recipe's YAML file; left out: all built-in ones.", show_default=False
        ),
    ] = "",
    set: SetOption = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only the options that differ from the defaults.")
    ] = False,
) -> None:
    """List the built-in recipes; with NAME: every option of one, with its value, default, range and meaning."""
    from flows.terminal import console

    if name:
        _show_recipe(console, name, set or [], changed)
    else:
        _show_recipes(console)


def _show_recipes(console: Console) -> None:
    from mer.recipes.describe import describe_recipes

    for recipe in describe_recipes():
        extends = f"extends {recipe.extends}; " if recipe.extends else ""
        needs = f"needs {', '.join(recipe.needs)}" if recipe.needs else "needs no download"
        _print(console, f"{recipe.name}  ({extends}{needs})", indent=0, style="bold")
        _print(console, recipe.description, indent=4)
    console.print()
    _print(console, "`mer recipes NAME` shows all options of one, `mer run --recipe NAME` runs it.", indent=0)


def _show_recipe(console: Console, name: str, overrides: list[str], changed_only: bool) -> None:
    from mer.recipes import load_recipe
    from mer.recipes.describe import describe_recipe, needs_of
    from mer.recipes.loading import base_of

    recipe = load_recipe(name, overrides)
    base, needs = base_of(name), needs_of(recipe)
    extends = f"; extends {base}" if base else ""
    _print(
        console,
        f"recipe {recipe.name}{extends}; needs {', '.join(needs) or 'no download'}",
        indent=0,
        style="bold",
    )
    for line in LEGEND:
        _print(console, line, indent=0)
    options = describe_recipe(recipe)
    different = [option.path for option in options if option.changed]
    for option in options:
        if option.group and not changed_only:
            console.print()
            _show_group(console, option)
        elif (
            option.group
            and option.changed
            and not any(path.startswith(f"{option.path}.") for path in different)
        ):
            _show_group(console, option)  # given, with nothing but defaults below it, or left out
        elif not option.group and (option.changed or not changed_only):
            _show_option(console, option)


def _show_group(console: Console, option: OptionDescription) -> None:
    left_out = "" if option.used else ": left out"
    _print(console, f"{_mark(option)} {option.path}{left_out}", indent=0, style="bold")
    _print(console, option.meaning, indent=6)


def _show_option(console: Console, option: OptionDescription) -> None:
    value = f": {option.value_text}" if option.used else ""
    _print(
        console, f"{_mark(option)} {option.path}{value}", indent=0, style="green" if option.changed else ""
    )
    default = "no default" if option.required else f"default {option.default_text}"
    _print(console, f"{option.meaning} [{option.allowed}; {default}]", indent=6)


def _mark(option: OptionDescription) -> str:
    return "*" if option.changed else " " if option.used else "-"


def _print(console: Console, text: str, *, indent: int, style: str = "") -> None:
    from textwrap import wrap

    width = min(console.width, WIDEST)
    lines = wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * max(indent, 4),
        break_on_hyphens=False,
    )
    for line in lines:
        console.print(line, markup=False, style=style or None, no_wrap=True, overflow="ignore", crop=False)
