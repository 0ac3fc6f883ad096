"""A model above chance is served; a worse one is registered, kept out, and leaves no mark on what is served."""

from __future__ import annotations

import csv
from pathlib import Path

import httpx
import pytest
import yaml
from e2e_installation import Installation

from infra.artifacts import ArtifactStore
from infra.objects import open_store
from mer.demo import DemoConfig, generate_demo
from mer.predictor.package import ModelPackage
from mer.recipes import load_recipe

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


@pytest.fixture(scope="module")
def found(serving: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe that a search of two runs wrote."""
    path = tmp_path_factory.mktemp("search") / "found.yaml"
    arguments = ("--recipe", str(SERVED), "--corpus", str(serving.corpus), "--name", "served")
    first = serving.mer("search", *arguments, "--study", "s", "--trials", "2").stdout
    assert "2 trials, 6 models" in first
    second = serving.mer(
        "search",
        *arguments,
        "--study",
        "s",
        "--trials",
        "7",
        "--first-rung",
        "0",
        "--write-recipe",
        str(path),
    ).stdout
    assert "7 trials, 21 models" in second
    assert "optuna-dashboard sqlite:///" in second
    return path


def test_what_a_search_found_is_a_recipe_that_can_be_run(serving: Installation, found: Path) -> None:
    recipe = load_recipe(str(found))
    assert (recipe.name, recipe.folds) == ("served", load_recipe(str(SERVED)).folds)
    assert recipe.streams["acoustic"].read.start is not None
    run(serving, found)
    with serving.catalogue() as catalogue:
        newest = catalogue.model_versions("served")[-1]
    artifacts = ArtifactStore(open_store(serving.settings()), cache=found.parent / "cache")
    package = ModelPackage.parse(artifacts.read(newest.artifact, "package.json"))
    assert package.recipe == recipe
    compared = serving.mer(
        "evaluate", "served", "--version", str(newest.version), "--against", "served:1"
    ).stdout
    assert f"served v{newest.version}" in compared and "served v1" in compared
    assert "WAF" in compared and "95 %" in compared


def test_the_search_is_in_mlflow_with_its_figures(
    found: Path, mlflow_server: str, mlflow_auth: tuple[str, str]
) -> None:
    api = f"{mlflow_server}/api/2.0/mlflow"
    with httpx.Client(timeout=30, auth=mlflow_auth) as client:
        experiment = client.get(f"{api}/experiments/get-by-name", params={"experiment_name": "mer"}).json()
        body = {
            "experiment_ids": [experiment["experiment"]["experiment_id"]],
            "filter": "tags.`study` = 's'",
        }
        runs = client.post(f"{api}/runs/search", json=body).raise_for_status().json()["runs"]
        trials = {
            metric["value"]: run
            for run in runs
            for metric in run["data"]["metrics"]
            if metric["key"] == "trials"
        }
        assert set(trials) == {2.0, 7.0}, "a continued study is a run of its own"
        assert {param["key"] for param in trials[7.0]["data"]["params"]} >= {
            "acoustic.block_start",
            "streams",
            "model",
        }
        asked = {"run_id": trials[7.0]["info"]["run_id"], "path": "figures"}
        files = client.get(f"{api}/artifacts/list", params=asked).raise_for_status().json()["files"]
        assert {Path(file["path"]).name for file in files} == {"history.png", "importance.png"}


def test_another_recipe_does_not_go_on_with_the_same_study(
    serving: Installation, found: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(SERVED.read_text(encoding="utf-8").replace("epochs: 40", "epochs: 41"), encoding="utf-8")
    arguments = ("--recipe", str(other), "--corpus", str(serving.corpus), "--name", "served", "--study", "s")
    refused = serving.mer("search", *arguments, check=False)
    assert refused.returncode == 1
    assert "another --study" in refused.stderr


@pytest.mark.nightly
def test_a_corpus_of_ones_own_gets_a_champion_that_answers(serving: Installation, tmp_path: Path) -> None:
    """Its clips are no clips of the champion before: they were compared on 0 clips, and rejected for ever."""
    mine = generate_demo(tmp_path / "mine", DemoConfig(clips=60, seed=77))
    serving.mer("run", "--recipe", str(SERVED), "--corpus", str(mine))
    with serving.catalogue() as catalogue:
        champion = catalogue.champion("mine")
        assert champion is not None and champion.version == 1
    out = tmp_path / "answers.csv"
    clip = next(path for path in sorted(mine.rglob("*.mp4")) if path.stat().st_size > 10_000)
    answered = serving.mer("predict", str(clip), "--out", str(out))
    (row,) = csv.DictReader(out.read_text(encoding="utf-8").splitlines())
    assert (row["model"], row["version"]) == ("mine", "1")
    assert "mine version 1" in answered.stdout + answered.stderr
    serving.mer("predict", str(clip), "--out", str(out), "--model", "served")
    (row,) = csv.DictReader(out.read_text(encoding="utf-8").splitlines())
    assert row["model"] == "served"


def test_a_person_promotes_and_takes_back(serving: Installation) -> None:
    promoted = serving.mer("models", "served", "--promote", "2", "--reason", "a test").stdout
    assert "version 2 is champion instead of version 1, promoted by hand" in promoted
    assert "difference -" in promoted and "a test" in promoted
    with serving.catalogue() as catalogue:
        champion = catalogue.champion("served")
        assert champion is not None and champion.version == 2
    assert "champion is version 1 again" in serving.mer("models", "served", "--rollback").stdout
    again = serving.mer("models", "served", "--promote", "1", check=False)
    assert again.returncode == 1 and "is the champion already" in again.stderr
    assert serving.mer("models", "--promote", "1", check=False).returncode == 2
