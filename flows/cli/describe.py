"""The command that says what a recipe's run would do: stages, what they read, what is there already."""

from __future__ import annotations

from functools import partial
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.over_corpus import CorpusArguments, over_corpus

if TYPE_CHECKING:
    from flows.description import Description, StageState
    from mer.recipes import Recipe

WIDTH = 80
"""Columns of what is printed, whatever the terminal has: name, what is read, how much is there."""
NAME, HERE = 25, 17


@partial(over_corpus, starts=False, called={"recipe": ""})
def describe(
    corpus: CorpusArguments,
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A built-in recipe or a recipe's YAML file. Left out: clips with --corpus, otherwise demo.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Say what a run would do: its stages, what each reads, what is there already, what would be computed.

    With --corpus, or --name of a corpus in the catalogue, results are looked up by the keys that a run would ask for. Nothing is
    started, computed or written.
    """
    from dataclasses import replace

    from flows.options import DemoOptions
    from flows.terminal import console

    given = replace(corpus, recipe=recipe)
    known, remark = "", "--corpus PATH or --name CORPUS: what is there already"
    if given.corpus or given.name:
        given, known, remark = _catalogued(given)
    options = given.options(DemoOptions)
    for line in description_lines(options.load_recipe(), known, remark):
        console.print(line, markup=False, soft_wrap=True)


def _catalogued(given: CorpusArguments) -> tuple[CorpusArguments, str, str]:
    """The arguments with the corpus' folder, its name in the catalogue (empty: it is not there), and what to say then."""
    from dataclasses import replace

    from flows.options import DemoOptions
    from tasks.stage.workspace import existing_workspace

    name = given.name or given.options(DemoOptions).catalogue_name(given.corpus)
    space = existing_workspace()
    row = next((row for row in space.catalogue.corpora() if row.name == name), None) if space else None
    if row is None:
        return given, "", f"corpus {name} is not in the catalogue yet: everything would be computed"
    return replace(given, corpus=given.corpus or str(row.root)), name, ""


def description_lines(recipe: Recipe, known: str, remark: str) -> list[str]:
    """What is printed, at most `WIDTH` columns a line.

    Args:
        recipe: what is described.
        known: name of a corpus of the catalogue; empty: none is looked at.
        remark: what to say where none is.
    """
    from flows.stage_reads import served_line, stage_reads

    if not known:
        lines = _head(recipe, served_line(recipe), remark)
        return lines + [_row(stage.name, stage.reads, "") for stage in stage_reads(recipe)]
    from flows.description import describe_on_corpus

    found = describe_on_corpus(recipe, known)
    lines = _head(found.recipe, served_line(found.recipe), _corpus_line(found, known))
    lines.append(_row("stage", "reads", "there already"))
    for state in found.stages:
        lines.append(_row(state.reads.name, state.reads.reads, _there(state, found)))
    return [*lines, "", *_wrapped(_ending(found))]


def _head(recipe: Recipe, served: str, corpus: str) -> list[str]:
    said = f"recipe {recipe.name}: {recipe.description}" if recipe.description else f"recipe {recipe.name}"
    return [*_wrapped(said), *_wrapped(served), *_wrapped(corpus), ""]


def _wrapped(text: str) -> list[str]:
    return wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _row(name: str, reads: str, there: str) -> str:
    """Three columns; what is too long for its own goes on in the next line."""
    middle = WIDTH - NAME - HERE - 3 if there else WIDTH - NAME - 1
    names, read, here = wrap(name, NAME), wrap(reads, middle, break_on_hyphens=False), wrap(there, HERE)
    rows = max(len(names), len(read), len(here))
    columns = [[*texts, *[""] * (rows - len(texts))] for texts in (names, read, here)]
    return "\n".join(
        f"{one:<{NAME}} {two:<{middle}}  {three}".rstrip() for one, two, three in zip(*columns, strict=True)
    )


def _corpus_line(found: Description, name: str) -> str:
    dataset = found.dataset
    if dataset is None:
        return f"corpus {name}: its clips or labels changed, or no run has taken a snapshot of it yet"
    held = f", {dataset.holdout} held out" if dataset.holdout else ""
    return (
        f"corpus {name}: {dataset.clips} clips, {dataset.labelled} labelled{held}, {len(dataset.emotions)} classes; "
        f"{len(dataset.views)} views ({dataset.views[0]} to {dataset.views[-1]})"
    )


def _there(state: StageState, found: Description) -> str:
    if found.dataset is None:
        return "unknown before ingest" if state.reads.kind != "ingest" else ""
    if state.parts == 0:
        return "decided then"
    if state.unknown == state.parts:
        return f"unknown before {state.before}"
    counted = (
        f"{state.made} of {state.parts} {state.unit}" if state.parts > 1 else "yes" if state.made else "no"
    )
    if state.made == state.parts > 1:
        counted = f"all {state.parts} {state.unit}"
    return counted + (f", {state.unknown} unknown" if state.unknown else "")


def _ending(found: Description) -> str:
    if found.dataset is None:
        return "`mer run` would ingest, and compute what is not found then"
    missing = [f"{state.reads.name} ({state.missing})" for state in found.stages if state.missing]
    unknown = [state.reads.name for state in found.stages if state.unknown and not state.missing]
    if not missing and not unknown:
        return "nothing would be computed"
    computed = f"would be computed: {', '.join(missing)}" if missing else "all that can be looked up is there"
    return computed + (f"; found out during the run: {', '.join(unknown)}" if unknown else "")
