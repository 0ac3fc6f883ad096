"""What people say in the review queue enters the next refresh: gold labels, a generation, a version that the gate is asked."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from refresh_corpus import EMOTIONS, add_unlabelled
from report_sources import Sources, wrong_figures
from test_refresh import Home

from infra.catalogue import Decision, ReviewFacts
from mer.recipes import load_recipe
from mer.selftraining.training_set import training_set
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import load_view, snapshot_dataset
from tasks.data.selections import load_selections
from tasks.report.build import usual_opponent
from tasks.selftrain.pseudo_labels import standing_generations
from tasks.stage.references import SnapshotPlan, View
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.nightly
REVIEWED, SEED = 24, 7


def test_reviewed_pseudo_labels_are_gold_in_the_next_refresh(
    tmp_path: Path, server_addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path, server_addresses)
    names = add_unlabelled(home.corpus, "first", 120, seed=SEED)
    truth = dict(zip(names, np.random.default_rng(SEED).integers(0, len(EMOTIONS), len(names)), strict=True))
    refreshed = (*home.arguments("refresh"), "--promote")
    home.installation.mer(*refreshed)
    (one,) = home.generations()
    assert one.state == "live", one.reason
    with home.installation.catalogue() as catalogue:
        pseudo = {label.name: label for label in catalogue.pseudo_labels(one.key)}
        before = len(catalogue.model_versions("grown"))
        asked, unknown = sorted(pseudo)[:REVIEWED], sorted(pseudo)[REVIEWED]
        for name in (*asked, unknown):
            said = EMOTIONS[truth[name]]
            accepts = said == pseudo[name].emotion
            known = name != unknown
            decision = Decision.ACCEPT if accepts else Decision.CORRECT
            catalogue.add_review(
                ReviewFacts(
                    key=f"key-{name}", corpus="grown", name=name, content=pseudo[name].content, annotator="ann",
                    decision=decision if known else Decision.CANNOT_TELL, weights={said: 1.0} if known else {},
                    shown={"emotion": pseudo[name].emotion, "source": "pseudo"}, seconds=2.0,
                )
            )  # fmt: skip
    waits = home.installation.mer("review", "grown", "--order", "influence", "--count", "100").stdout
    assert "pseudo" in waits and not any(name in waits for name in (*asked, unknown)), "they wait no longer"

    told = home.installation.mer(*refreshed).stdout
    with home.installation.catalogue() as catalogue:
        *_, earlier, version = catalogue.model_versions("grown")
        assert version.version == before + 1 == earlier.version + 1
        members = {member.name: member for member in catalogue.snapshot_members(str(version.snapshot_id))}
        decided = [row for row in catalogue.promotions("grown", None) if row.version == version.version]
    assert decided and f"version {version.version}" in told, "the gate was asked"
    assert unknown not in members, "nothing is learnt of what nobody can tell"
    assert {members[name].label_source for name in asked} == {"review"}
    assert {name: members[name].emotion for name in asked} == {name: EMOTIONS[truth[name]] for name in asked}

    for name, value in {"MER_HOME": str(home.installation.home), **home.installation.environment}.items():
        monkeypatch.setenv(name, value)
    space, recipe = workspace(), load_recipe(str(home.recipe))
    dataset = snapshot_dataset.fn("grown", SnapshotPlan.of(recipe))
    assert dataset.membership == version.snapshot_id
    examples, partition = load_view(space, View(dataset, FINAL_VIEW))
    rows = [examples.clip_ids.index(name) for name in asked]
    assert (partition.train | partition.validation)[rows].all(), "gold, of the view that is served"
    live = standing_generations.fn(dataset, recipe.name).live[FINAL_VIEW]
    learnt = training_set(examples, partition, load_selections(space, live, examples), recipe.pseudo_labels)
    assert learnt.pseudo.any() and not learnt.pseudo[rows].any(), "the others' pseudo-labels stay"
    assert [EMOTIONS[number] for number in learnt.examples.emotion[rows]] == [
        EMOTIONS[truth[name]] for name in asked
    ]

    status = " ".join(home.installation.mer("review", "grown", "--status").stdout.split())
    assert f"{REVIEWED + 1} decisions" in status
    gain = re.search(
        rf"version {version.version} learnt {REVIEWED} reviewed labels more than version {earlier.version}: WAF "
        r"\(weighted F1\) [+-]0\.\d+ .* a label",
        status,
    )
    assert gain, status
    page = (home.installation.home / "reports" / f"grown-v{version.version}.html").read_text(encoding="utf-8")
    assert (
        "reviewers" in page
        and wrong_figures(page, Sources(space, version, usual_opponent(space, version))) == []
    )
