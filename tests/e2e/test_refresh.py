"""Refreshes on a growing corpus: one generation a batch, killed ones resume, withdrawn ones leave no trace, bad ones stop."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from e2e_installation import Installation
from refresh_corpus import ONE_ROUND, RECIPE, add_unlabelled, make_corpus, write_table

from infra.catalogue import GenerationRow
from mer.recipes import load_recipe
from mer.selftraining.training_set import training_set
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import load_view, snapshot_dataset
from tasks.data.selections import load_selections
from tasks.selftrain.pseudo_labels import standing_generations
from tasks.stage.references import SnapshotPlan, View
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.slow


class Home:
    """A home with the corpus, driven by the command line."""

    def __init__(
        self, folder: Path, environment: dict[str, str], recipe: str = RECIPE, canary: int = 24
    ) -> None:
        self.corpus = make_corpus(folder / "corpus", canary=canary)
        self.recipe = folder / "refreshed.yaml"
        self.recipe.write_text(recipe, encoding="utf-8")
        self.installation = Installation(home=folder / "home", corpus=self.corpus, environment=environment)

    def arguments(self, command: str) -> list[str]:
        return [command, "--recipe", str(self.recipe), "--corpus", str(self.corpus), "--name", "grown"]

    def refresh(self, command: str = "refresh") -> str:
        return self.installation.mer(*self.arguments(command)).stdout

    def generations(self) -> list[GenerationRow]:
        with self.installation.catalogue() as catalogue:
            return catalogue.generations("grown", "refreshed")

    def membership(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """Hash of the training set as it is now."""
        for name, value in {"MER_HOME": str(self.installation.home), **self.installation.environment}.items():
            monkeypatch.setenv(name, value)
        space, recipe = workspace(), load_recipe(str(self.recipe))
        dataset = snapshot_dataset.fn("grown", SnapshotPlan.of(recipe))
        examples, partition = load_view(space, View(dataset, FINAL_VIEW))
        live = standing_generations.fn(dataset, recipe.name).live[FINAL_VIEW]
        selections = load_selections(space, live, examples)
        return training_set(examples, partition, selections, recipe.pseudo_labels).membership

    def kinds(self) -> dict[str, int]:
        """How many artifacts of each kind there are."""
        kinds = [kind for kind, _ in self.installation.results()]
        return {kind: kinds.count(kind) for kind in set(kinds)}


@pytest.fixture
def home(tmp_path: Path, server_addresses: dict[str, str]) -> Home:
    return Home(tmp_path, server_addresses)


def test_a_batch_makes_one_generation_and_withdrawing_it_leaves_the_training_set_there_was(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.refresh()  # gold labels alone
    assert home.generations() == []
    gold = home.membership(monkeypatch)

    add_unlabelled(home.corpus, "first", 120, seed=7)
    home.refresh()
    (one,) = home.generations()
    assert one.state == "live" and one.reason, one.reason
    with_one = home.membership(monkeypatch)
    assert with_one == one.membership != gold
    before = home.installation.results()
    home.refresh()
    assert home.generations() == [one], "the same batch again makes no other generation"
    again = home.installation.results()
    new = sorted(kind for kind, _ in set(again) - set(before))
    assert "fusion" not in new and "pseudo-round" not in new, new

    told = home.installation.mer("generations", "withdraw", str(one.number), "--reason", "drill").stdout
    assert "is withdrawn" in told and "grown version" in told
    assert home.membership(monkeypatch) == gold
    fusions = {key for kind, key in home.installation.results() if kind == "fusion"}
    after = home.refresh()
    assert "set aside" in after and "fused *" in after
    assert {key for kind, key in home.installation.results() if kind == "fusion"} == fusions, (
        "nothing to train"
    )
    home.installation.mer("generations", "restore", str(one.number))
    assert home.membership(monkeypatch) == with_one


@pytest.mark.nightly
def test_a_second_batch_is_voted_on_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    add_unlabelled(home.corpus, "first", 120, seed=7)
    home.refresh()
    with_one = home.membership(monkeypatch)
    add_unlabelled(home.corpus, "second", 60, seed=8)
    trained = home.kinds()["fusion"]
    home.refresh()
    one, two = home.generations()
    with home.installation.catalogue() as catalogue:
        first, second = ({label.name for label in catalogue.pseudo_labels(row.key)} for row in (one, two))
    assert not first & second and {name.split("_")[0] for name in second} == {"second"}
    assert home.kinds()["fusion"] - trained <= 2 * 4, "what is retrained is what learns from the new labels"
    if two.state == "live":
        assert home.membership(monkeypatch) == two.membership != with_one
        home.installation.mer("generations", "withdraw", str(two.number))
    assert home.membership(monkeypatch) == with_one


@pytest.mark.nightly
def test_a_killed_refresh_resumes_and_ends_as_an_undisturbed_one(
    home: Home, tmp_path: Path, server_addresses: dict[str, str]
) -> None:
    calm = Home(tmp_path / "calm", server_addresses)
    for one in (home, calm):
        add_unlabelled(one.corpus, "first", 120, seed=7)
    calm.refresh()
    for kind in ("pseudo-labels", "pseudo-checks", "pseudo-round"):
        process = subprocess.Popen(
            home.installation.command(*home.arguments("refresh")),
            env=home.installation.variables(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while process.poll() is None and kind not in home.kinds():
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    home.refresh()
    (own,), (other,) = home.generations(), calm.generations()
    assert (own.key, own.membership, own.counts, own.state) == (
        other.key,
        other.membership,
        other.counts,
        other.state,
    )
    fusions = [
        {key: sha for (kind, key), sha in one.installation.results().items() if kind == "fusion"}
        for one in (home, calm)
    ]
    assert fusions[0] == fusions[1]


@pytest.mark.nightly
def test_a_canary_that_falls_stops_by_itself_with_a_reason(
    tmp_path: Path, server_addresses: dict[str, str]
) -> None:
    """Canary labels that say what the supervised model says: whoever learns from the batch to disagree, falls.

    So many canary clips that a model which learns from the batch differs on far more of them than the guard lets pass.
    """
    home = Home(tmp_path, server_addresses, ONE_ROUND, canary=150)
    home.refresh()
    table = home.corpus / "labels.csv"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    asked = tmp_path / "canary.csv"
    canary = [row["name"] for row in rows if row["split"] == "canary"]
    asked.write_text("\n".join(["name", *canary]) + "\n", encoding="utf-8")
    out = tmp_path / "said.csv"
    arguments = ("--name", "grown", "--model", "grown", "--version", "1", "--out", str(out))
    home.installation.mer("predict", "--candidates", str(asked), *arguments)
    lines = csv.DictReader(out.read_text(encoding="utf-8").splitlines())
    said = {row["name"]: row["discrete"] for row in lines}
    write_table(home.corpus, [row | {"emotion": said.get(row["name"], row["emotion"])} for row in rows])
    add_unlabelled(home.corpus, "first", 120, seed=7)
    told = home.refresh()
    (one,) = home.generations()
    assert one.state == "stopped" and "canary" in one.reason and "set aside" in one.reason, one.reason
    assert "weighted F1 1.000 -> 0." in one.reason, (
        "the labels are what the supervised model says: " + one.reason
    )
    assert "stop" in told and "fused *" in told, "the supervised model stays"
    again = home.refresh()
    assert home.generations() == [one] and "set aside" in again
    home.installation.mer("generations", "release", str(one.number))
    home.refresh()
    assert [row.state for row in home.generations()] == ["stopped"], "voted on again, with the same result"

    truth = {row["name"]: row["emotion"] for row in rows}
    now = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    write_table(home.corpus, [row | {"emotion": truth.get(row["name"], row["emotion"])} for row in now])
    home.installation.mer("generations", "release", str(one.number))
    home.refresh()
    *before, healed = home.generations()
    assert healed.state == "live", "with the true labels back the same batch passes: " + healed.reason
    # the very same labels by the same voters; where a view does not keep its own, those of the others are a generation of theirs
    assert healed.key == one.key or [row.state for row in before] == ["released"]
