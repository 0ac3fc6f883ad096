"""Generations of pseudo-labels in the catalogue: their labels, their states, and what is refused."""

from __future__ import annotations

import pytest
from alembic import command
from catalogue_rows import clip, content, generation, label, ref

from infra.catalogue import Catalogue, GenerationState, open_catalogue
from infra.catalogue.schema import alembic_config
from infra.errors import CatalogueError


@pytest.fixture
def corpus(catalogue: Catalogue) -> str:
    catalogue.upsert_corpus("c", root="/corpus", format="table", emotions=("neutral", "angry"))
    return "c"


def test_pseudo_label_generations(catalogue: Catalogue, corpus: str) -> None:
    catalogue.upsert_clips(
        corpus,
        [clip(n, split="unlabelled") for n in range(3)]
        + [clip(7, split="canary"), clip(8, split="test"), clip(9)],
    )
    catalogue.set_gold_labels(corpus, [("clip9", "angry", None)])
    rows = [label(0, "angry", 0.99, -1.0), label(1, "neutral", 0.9, float("nan"))]
    facts = generation(
        "g1",
        corpus,
        selections={"fold0": ref("s0"), "final": ref("s1")},
        voters={"fused": "fusion/k@abc"},
        thresholds={"angry": 0.9, "neutral": None},
        precision={"angry": [3, 4]},
        round=2,
        membership="m" * 64,
        findings=[{"guard": "canary", "passed": True}],
    )
    first = catalogue.add_generation(facts, rows)
    assert catalogue.add_generation(generation("g1", corpus), rows[:1]) == first
    assert {name: getattr(first, name) for name in vars(facts)} == vars(facts) | {
        "findings": tuple(facts.findings)
    }
    assert catalogue.pseudo_labels("g1") == [label(0, "angry", 0.99, -1.0), label(1, "neutral", 0.9, None)]
    for forbidden in (7, 8, 9, 77):
        with pytest.raises(CatalogueError, match="left out"):
            catalogue.add_generation(generation("g2", corpus), [label(forbidden, "angry", 1.0, 0.0)])
    assert [row.key for row in catalogue.generations(corpus)] == ["g1"]
    ((found, given),) = catalogue.pseudo_labels_of(corpus, "clip0")
    assert (found, given.emotion) == (first, "angry")
    with pytest.raises(CatalogueError):
        catalogue.pseudo_labels("unknown")


def test_pseudo_labels_of_what_is_judged_elsewhere_are_refused(catalogue: Catalogue, corpus: str) -> None:
    """A test clip's content under another name; a gold label stands in the way unless equal clips contradict it."""
    unlabelled = [clip(n, split="unlabelled") for n in range(2)]
    twin = clip(1, name="twin", path="/corpus/twin.mp4", split="test")
    catalogue.upsert_clips(corpus, [*unlabelled, twin, clip(2)])
    catalogue.set_gold_labels(corpus, [("clip2", "angry", None)])
    for refused in (1, 2):
        with pytest.raises(CatalogueError, match=f"clip{refused}: test clips"):
            catalogue.add_generation(generation("g", corpus), [label(refused, "angry", 1.0, None)])
    rows = [label(number, "angry", 1.0, None) for number in (0, 2)]
    catalogue.add_generation(generation("g", corpus), rows, withheld={"clip2"})
    assert catalogue.pseudo_labels("g") == rows
    catalogue.forget_files(corpus, [twin.path])
    catalogue.add_generation(generation("h", corpus), [label(1, "angry", 1.0, None)])


def test_states_of_a_generation(catalogue: Catalogue, corpus: str) -> None:
    for key, state in (("g1", "live"), ("g2", "stopped"), ("g3", "rejected")):
        catalogue.add_generation(generation(key, corpus, state=GenerationState(state)), [])
    catalogue.add_generation(generation("g4", corpus, recipe="other"), [])

    def in_state(*states: str) -> list[str]:
        chosen = [GenerationState(state) for state in states]
        return [row.key for row in catalogue.generations(corpus, "r", states=chosen)]

    assert in_state() == ["g1", "g2", "g3"] and in_state("live") == ["g1"]
    withdrawn = catalogue.withdraw_generation("g1", "bad upload")
    assert catalogue.withdraw_generation("g1") == withdrawn
    assert (withdrawn.state, withdrawn.reason) == ("withdrawn", "bad upload")
    assert withdrawn.withdrawn_at is not None
    assert in_state("live") == []
    assert catalogue.restore_generation("g1").withdrawn_at is None and in_state("live") == ["g1"]
    for key in ("g2", "g3"):
        with pytest.raises(CatalogueError, match="expected live"):
            catalogue.withdraw_generation(key)
        with pytest.raises(CatalogueError, match="expected withdrawn"):
            catalogue.restore_generation(key)
    assert catalogue.release_generation("g2").state == "released" and in_state("released") == ["g2"]
    with pytest.raises(CatalogueError, match="is live"):
        catalogue.release_generation("g1")
    for key in (
        "g2",
        "g3",
    ):  # released and rejected ones may be judged otherwise when they are voted on again
        judged = generation(key, corpus, state=GenerationState("live"), reason="better now")
        assert catalogue.add_generation(judged, []).reason == "better now"
    assert in_state("live") == ["g1", "g2", "g3"]
    catalogue.withdraw_generation("g2")
    judged = generation("g2", corpus, state=GenerationState("live"))
    assert catalogue.add_generation(judged, []).state == "withdrawn", "what somebody withdrew stays withdrawn"
    with pytest.raises(CatalogueError, match="no generation"):
        catalogue.withdraw_generation("unknown")


def test_generations_of_an_earlier_schema_are_brought_up_to_date(
    catalogue: Catalogue, corpus: str, database_url: str
) -> None:
    catalogue.upsert_clips(corpus, [clip(n, split="unlabelled") for n in range(2)])
    rows = [label(0, "angry", 0.99, None)]
    for key in ("g1", "g2"):
        catalogue.add_generation(generation(key, corpus), rows)
    catalogue.withdraw_generation("g2")
    config = alembic_config()
    with catalogue.database.writing() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
    with open_catalogue(database_url) as again:
        assert [row.state for row in again.generations(corpus)] == ["live", "withdrawn"]
        assert [(label.name, label.content) for label in again.pseudo_labels("g1")] == [("clip0", content(0))]
        assert again.generations(corpus)[0].recipe == "", "of no recipe: nothing trains on it by mistake"
