"""A model above chance is served; a worse one is registered, kept out, and leaves no mark on what is served."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml
from e2e_installation import Installation

from mer.demo import DemoConfig, generate_demo

pytestmark = pytest.mark.slow
SERVED = Path(__file__).parent / "served.yaml"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, server_addresses: dict[str, str]) -> Installation:
    """A home whose first run has ended; later tests go on from there, in the order they are written."""
    corpus = generate_demo(tmp_path_factory.mktemp("served") / "corpus", DemoConfig(clips=120, seed=11))
    home = tmp_path_factory.mktemp("serving") / "home"
    made = Installation(home=home, corpus=corpus, environment=server_addresses)
    run(made, SERVED)
    return made


def run(installation: Installation, recipe: Path) -> str:
    return installation.mer(
        "run", "--recipe", str(recipe), "--corpus", str(installation.corpus), "--name", "served"
    ).stdout


def predictions(installation: Installation, out: Path) -> list[dict[str, str]]:
    installation.mer("predict", str(installation.corpus), "--out", str(out), "--model", "served")
    return list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))


def test_a_first_model_above_chance_is_served(serving: Installation) -> None:
    with serving.catalogue() as catalogue:
        champion = catalogue.champion("served")
        assert champion is not None and champion.version == 1
        (decision,) = catalogue.promotions("served")
    assert "promoted" in decision.reason and "chance" in decision.reason


def test_a_worse_one_is_registered_and_kept_out(serving: Installation, tmp_path: Path) -> None:
    before = predictions(serving, tmp_path / "before.csv")
    options = yaml.safe_load(SERVED.read_text(encoding="utf-8"))
    options["fusion"] = {"epochs": 1, "checkpoint_epochs": 1, "learning_rate": 1e-6}
    worse = tmp_path / "worse.yaml"
    worse.write_text(yaml.safe_dump(options), encoding="utf-8")
    run(serving, worse)
    with serving.catalogue() as catalogue:
        champion = catalogue.champion("served")
        assert champion is not None and champion.version == 1
        assert [row.version for row in catalogue.model_versions("served")] == [1, 2]
        reasons = [decision.reason for decision in catalogue.promotions("served", alias=None)]
    assert len(reasons) == 2 and reasons[-1].startswith("kept out")
    assert predictions(serving, tmp_path / "after.csv") == before


def test_a_search_goes_on_to_the_number_asked_for(serving: Installation) -> None:
    arguments = ("--recipe", str(SERVED), "--corpus", str(serving.corpus), "--name", "served")
    first = serving.mer("search", *arguments, "--study", "s", "--trials", "2").stdout
    assert "2 trials, 6 models" in first
    second = serving.mer("search", *arguments, "--study", "s", "--trials", "3").stdout
    assert "3 trials, 9 models" in second
