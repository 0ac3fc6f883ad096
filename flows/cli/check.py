"""The command that tells before anything is started what a corpus would give."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.buckets import local_paths_with_bar
from flows.cli.outcome import FAILED, UNUSABLE_INPUTS
from flows.cli.over_corpus import CorpusArguments, over_corpus

if TYPE_CHECKING:
    from flows.options import FlowOptions
    from tasks.data.corpus_check import CorpusCheck

SAMPLE_OF_A_RUN = 8
"""Files that `mer run` opens before it starts with a corpus that is new to it; it opens all of them later."""
_FLAGS = {"corpus_name": "name"}
"""Options of the flows that the command line calls otherwise."""


@partial(over_corpus, starts=False)
def check(
    corpus: CorpusArguments,
    path: Annotated[
        str,
        typer.Argument(
            metavar="[PATH]", help="Folder of clips and labels; the same as --corpus.", show_default=False
        ),
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="Open every file, not only a sample.")] = False,
) -> None:
    """Say how a corpus is understood, what cannot be used, and whether a model can be trained on it; starts and writes nothing.

    Exit code 1: the corpus cannot be used. Exit code 3: some clips cannot be used; they are listed.
    """
    from dataclasses import replace

    from flows.options import DemoOptions
    from flows.terminal import console
    from tasks.data.corpus_check import SAMPLE

    if path and corpus.corpus and path != corpus.corpus:
        raise typer.BadParameter(f"found {path} and --corpus {corpus.corpus}: give one of them")
    if not (path or corpus.corpus):
        raise typer.BadParameter("expected the folder of a corpus: mer check PATH")
    options = replace(corpus, corpus=path or corpus.corpus).options(DemoOptions)
    checked = checked_corpus(options, None if every else SAMPLE)
    for line in checked.lines():
        console.say(line)
    if not checked.usable:
        typer.echo("mer: no clip of this corpus can be used", err=True)
        raise typer.Exit(FAILED)
    console.print(f"next: {next_command(checked, options)}", markup=False, soft_wrap=True)
    if checked.refused:
        raise typer.Exit(UNUSABLE_INPUTS)


def checked_corpus(options: FlowOptions, sample: int | None) -> CorpusCheck:
    """The check of the corpus that a flow's options name; of a bucket, by its local copy, brought up to date.

    Raises:
        ConfigError: the recipe or an option cannot be used.
        CorpusError: the corpus cannot be read, or holds nothing.
        SettingsError, StoreUnavailable: the bucket cannot be read.
    """
    from tasks.data.corpus_check import check_corpus_folder

    recipe = options.load_recipe()
    options.catalogue_name(options.corpus)
    (root,) = local_paths_with_bar([options.corpus])
    return check_corpus_folder(Path(root), recipe, options.reading(), sample)


def check_before(options: FlowOptions, *, trains: bool) -> None:
    """The same for a flow that is about to start: prints the account, and refuses what would fail later.

    Raises:
        ConfigError, CorpusError: the flow could not do what it is asked for.
    """
    from flows.terminal import print_once
    from infra.objects.bucket_address import is_bucket_address
    from mer.errors import CorpusError
    from tasks.stage.workspace import existing_workspace

    if is_bucket_address(options.corpus):
        return  # the flow fetches it first, and says the same of it
    known = existing_workspace()
    name, root = options.catalogue_name(options.corpus), Path(options.corpus).expanduser().resolve()
    if (
        known is not None
        and (name, root) in {(row.name, row.root) for row in known.catalogue.corpora()}
        and root.is_dir()
    ):
        return  # the flow reads only what changed, and says the same of it
    checked = checked_corpus(options, SAMPLE_OF_A_RUN)
    print_once(checked.account.lines())
    if not checked.usable:
        shown = checked.refused[: 1 if len({file.reason for file in checked.refused}) == 1 else 3]
        reasons = "; ".join(f"{file.name}: {file.detail}" for file in shown)
        remarks = "".join(f"\n  {remark}" for remark in checked.remarks)
        raise CorpusError(
            f"{checked.root}: none of the {checked.probed} files that were opened can be used: {reasons}{remarks}"
        )
    if trains and checked.feasibility.problem:
        raise CorpusError(checked.feasibility.problem)


def next_command(checked: CorpusCheck, options: FlowOptions) -> str:
    """What to type next, with the same options: training where there is something to learn, else taking the clips in."""
    arguments = ["mer", "ingest" if checked.feasibility.problem else "run"]
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if value != field.default:
            flag = f"--{_FLAGS.get(name, name).replace('_', '-')}"
            arguments += [
                part
                for item in (value if isinstance(value, tuple) else (value,))
                for part in (flag, str(item))
            ]
    return shlex.join(arguments)
