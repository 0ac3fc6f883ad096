"""`mer audit`: whether a split is honest, before anybody believes its figures."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flows.buckets import local_paths_with_bar, progress_bar
from flows.cli.outcome import UNUSABLE_INPUTS, wrong_usage
from flows.cli.over_corpus import CorpusArguments, over_corpus


@partial(over_corpus, starts=False)
def audit(
    corpus: CorpusArguments,
    path: Annotated[
        str,
        typer.Argument(
            metavar="[PATH]",
            help="Folder of clips and labels (the same as --corpus), or a list of clips without media.",
            show_default=False,
        ),
    ] = "",
    folds: Annotated[
        Path | None,
        typer.Option(
            metavar="<FILE>",
            help="The protocol, where it is not the corpus' own: a table with columns name and fold, or name and split (speaker, "
            "source, emotion, sha256 are read too), lines of JSON, or a folder of EmoBox's fold files.",
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        bool, typer.Option("--listen/--lists-only", help="Compare sounds as well, not only lists and files.")
    ] = True,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="<FILE>", help="Write the findings there.", show_default=False),
    ] = None,
) -> None:
    """Say what test clips share with training clips: speakers, recordings, files, sounds; and what that flatters.

    A model that is tested on the voices, films or files that it learnt from looks better than it is. Classes that one side
    lacks are said as well. Exit code 3: something was found.
    """
    from flows.options import DemoOptions
    from flows.terminal import console
    from tasks.data.corpus_audit import audit_folder, audit_list

    if path and corpus.corpus and path != corpus.corpus:
        raise typer.BadParameter(f"found {path} and --corpus {corpus.corpus}: give one of them")
    if not (chosen := path or corpus.corpus):
        raise typer.BadParameter("expected the folder of a corpus, or a list: mer audit PATH")
    if folds is not None and not folds.exists():
        wrong_usage(f"no such file or folder: {folds}")
    if Path(chosen).is_file() or (Path(chosen).is_dir() and _only_lists(Path(chosen))):
        found = audit_list(Path(chosen))
    else:
        from dataclasses import replace

        options = replace(corpus, corpus=chosen).options(DemoOptions)
        (root,) = local_paths_with_bar([chosen])
        with progress_bar("looking at files") as progress:
            found = audit_folder(
                Path(root),
                options.load_recipe().emotions,
                options.reading(),
                folds,
                listen=listen,
                progress=progress,
            )
    for line in found.lines():
        console.say(line)
    if json_file is not None:
        from mer.whole_files import write_whole

        write_whole(json_file, (json.dumps(found.to_json(), indent=1) + "\n").encode())
    if found.findings:
        raise typer.Exit(UNUSABLE_INPUTS)


def _only_lists(folder: Path) -> bool:
    """Whether a folder holds lists and nothing else, as EmoBox publishes them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return bool(files) and all(path.suffix.lower() in {".jsonl", ".json", ".md", ".txt"} for path in files)
