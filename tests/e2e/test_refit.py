"""Refreshes of a corpus that grows by little: what is fitted is counted in the store, through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_installation import Installation
from refresh_corpus import add_unlabelled, make_corpus

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]

RECIPE = """
name: growing
emotions: [neutral, angry, happy]
folds: {count: 3, use_published: true, seed: 2}
visual: {features: {modality: visual, source: "files:faces-UTT"}, alignment: {to: lexical, epochs: 2, embedding_size: 8}}
lexical: {features: {modality: lexical, source: "files:words-UTT"}}
fusion: {model: concat, hidden: 16, epochs: 5}
comparisons: none
"""
FITTED = ("alignment", "fusion", "evaluation", "model")


def test_a_refresh_fits_when_enough_is_new_and_not_before(
    tmp_path: Path, server_addresses: dict[str, str]
) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    recipe = tmp_path / "growing.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    home = Installation(home=tmp_path / "home", corpus=corpus, environment=server_addresses)
    given = ("--recipe", str(recipe), "--corpus", str(corpus), "--name", "grown")

    def fits() -> dict[str, int]:
        kinds = [kind for kind, _ in home.results()]
        return {kind: kinds.count(kind) for kind in (*FITTED, "features")}

    first = home.mer("refresh", *given).stdout
    assert "no version of this recipe and code to go on from -> fit" in first
    before = fits()
    assert before["alignment"] == 4 and before["model"] == 1

    add_unlabelled(corpus, "few", 2, seed=7)
    few = home.mer("refresh", *given).stdout
    assert "0 new labelled clips of 10 needed, 1.8 % new pairs of 5 % needed -> nothing is fitted" in few, (
        _growth(few)
    )
    assert "2 clips wait for the next fit" in few
    after = fits()
    assert {kind: after[kind] for kind in FITTED} == {kind: before[kind] for kind in FITTED}
    assert after["features"] > before["features"], "features of the new clips are ready"
    assert "growth since version 1" in home.mer("status").stdout

    add_unlabelled(corpus, "more", 4, seed=8)
    more = home.mer("refresh", *given).stdout
    assert "5.5 % new pairs of 5 % needed -> fit again" in more, _growth(more)
    assert fits()["alignment"] == 8 and fits()["model"] == 2
    why = home.mer("models", "grown", "--why").stdout
    assert "nothing was decided" in why or "5.5 % new pairs" in why

    add_unlabelled(corpus, "last", 1, seed=9)
    home.mer("refresh", *given, "--refit", "always")
    assert fits()["alignment"] == 12, "whoever asks for it gets it"


def _growth(told: str) -> list[str]:
    return [line for line in told.splitlines() if "growth" in line or "waits" in line]
