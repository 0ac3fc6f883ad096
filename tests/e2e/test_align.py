"""`mer align` is one command: alignment of every view, controls, probes and the table, from precomputed vectors too."""

from __future__ import annotations

from pathlib import Path

import pytest
from alignment_corpus import RECIPE, write_corpus
from e2e_installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


def test_the_table_has_retrieval_controls_and_probes(
    tmp_path: Path, server_addresses: dict[str, str]
) -> None:
    recipe = tmp_path / "vectors.yaml"
    recipe.write_text(RECIPE)
    made = Installation(
        home=tmp_path / "home", corpus=write_corpus(tmp_path / "corpus"), environment=server_addresses
    )
    asked = ("align", "--recipe", str(recipe), "--corpus", str(made.corpus), "--control-fits", "2")
    first = made.mer(*asked)
    for shown in (
        "retrieval, all held-out clips", "retrieval, within speakers", "p against permuted pairs",
        "pairs shuffled (2 fits)", "shuffled within speakers (2 fits)", "uniformity", "raw + aligned",
        "labelled speakers", "zero-shot accuracy",
    ):  # fmt: skip
        assert shown in first.stdout
    results = made.results()
    assert {kind for kind, _ in results} >= {"alignment", "alignment-study"}
    assert made.mer(*asked).stdout.count("pairs shuffled (2 fits)") == 2
    assert made.results() == results, "a finished study was done again"
    without = made.mer(*asked[:-2], "--no-control")
    assert "shuffled" not in without.stdout and "within speakers" in without.stdout


def test_a_recipe_without_alignment_is_refused(tmp_path: Path, server_addresses: dict[str, str]) -> None:
    recipe = tmp_path / "deaf.yaml"
    recipe.write_text(
        "name: deaf\nvisual: {features: {modality: visual, source: 'files:face'}}\nfolds: {count: 2}\n"
    )
    corpus = write_corpus(tmp_path / "corpus")
    made = Installation(home=tmp_path / "home", corpus=corpus, environment=server_addresses)
    answer = made.mer("align", "--recipe", str(recipe), "--corpus", str(corpus), check=False)
    assert answer.returncode != 0 and "add `alignment: {}`" in answer.stderr + answer.stdout
