"""Versions that wait for a person: answered once, never after a refusal or in vain, and the audit says by whom."""

from __future__ import annotations

from datetime import timedelta

import pytest
from catalogue_rows import content

from infra.artifacts import ArtifactRef
from infra.catalogue import Catalogue
from infra.catalogue.actor import acting_as
from infra.catalogue.utc_time import utc_now
from infra.errors import CatalogueError

EVIDENCE = '{"difference": 0.02, "groups": 10}'


def _registered(catalogue: Catalogue, count: int = 2) -> list[int]:
    return [
        catalogue.add_model_version(
            "demo",
            ArtifactRef(kind="model", key=content(number), sha256=content(number)),
            metrics={"waf": 0.5},
            idempotency_key=f"key {number}",
            origin={"commit": "c0"},
        )
        for number in range(count)
    ]


@pytest.fixture
def waiting(catalogue: Catalogue) -> Catalogue:
    """Version 1 is champion, and version 2 waits."""
    _registered(catalogue, 3)
    catalogue.set_alias("demo", "champion", 1, "the first")
    with acting_as("the gate, run brave-otter"):
        catalogue.request_approval("demo", 2, "better by .02", EVIDENCE, 24.0)
    return catalogue


def test_what_waits_is_not_promoted(waiting: Catalogue) -> None:
    (row,) = waiting.approvals_waiting()
    assert (row.version, row.action, row.actor) == (2, "waiting", "the gate, run brave-otter")
    assert row.expires_at is not None and timedelta(hours=23) < row.expires_at - utc_now() < timedelta(
        hours=25
    )
    champion = waiting.champion("demo")
    assert champion is not None and champion.version == 1
    assert waiting.aliases() == {"demo": {"champion": 1}}, "no alias is made of a question"


def test_asked_again_it_is_the_same_question(waiting: Catalogue) -> None:
    again = waiting.request_approval("demo", 2, "other words", None, 48.0)
    assert [row.id for row in waiting.approvals_waiting()] == [again.id]
    assert again.reason == "better by .02"


def test_approved_twice_is_approved_once(waiting: Catalogue) -> None:
    with acting_as("ann"):
        first = waiting.approve("demo", 2, "looks right")
    with acting_as("bob"):
        second = waiting.approve("demo", 2, "me too")
    assert first == second
    rows = [row for row in waiting.promotions("demo") if row.version == 2]
    assert [(row.actor, row.action, row.previous_version, row.champion_version) for row in rows] == [
        ("ann", "approved", 1, 1)
    ]
    assert (
        rows[0].evidence == EVIDENCE and "looks right" in rows[0].reason and "better by .02" in rows[0].reason
    )
    assert waiting.approvals_waiting() == []
    with pytest.raises(CatalogueError, match=r"was approved on .* by ann"):
        waiting.refuse("demo", 2, "too late")


def test_after_a_refusal_only_another_evaluation_asks_again(waiting: Catalogue) -> None:
    with acting_as("ann"):
        first = waiting.refuse("demo", 2, "fails on whispering")
    assert waiting.refuse("demo", 2, "again") == first
    with pytest.raises(
        CatalogueError, match=r"refused on .* by ann .fails on whispering.: only another evaluation"
    ):
        waiting.approve("demo", 2, "after all")
    assert waiting.request_approval("demo", 2, "same evidence", None, 24.0) == first
    champion = waiting.champion("demo")
    assert champion is not None and champion.version == 1
    assert waiting.request_approval("demo", 3, "another version", None, 24.0).action == "waiting"
    waiting.set_alias("demo", "champion", 3, "by hand")
    assert waiting.request_approval("demo", 2, "against version 3", None, 24.0).action == "waiting"


def test_a_time_limit_means_not_promoted(waiting: Catalogue) -> None:
    (row,) = waiting.approvals_waiting()
    assert row.expires_at is not None
    assert waiting.expire_approvals(now=row.expires_at - timedelta(seconds=1)) == []
    (noted,) = waiting.expire_approvals(now=row.expires_at)
    assert (noted.action, noted.actor, noted.evidence) == ("expired", "the time limit", EVIDENCE)
    assert waiting.expire_approvals(now=row.expires_at) == [], "noted once"
    with pytest.raises(CatalogueError, match=r"nobody decided until .* --promote 2"):
        waiting.approve("demo", 2, "sorry, I was away")
    champion = waiting.champion("demo")
    assert champion is not None and champion.version == 1


def test_a_time_that_is_over_counts_though_nobody_noted_it(catalogue: Catalogue) -> None:
    _registered(catalogue)
    catalogue.request_approval("demo", 1, "first", None, 1e-9)
    with pytest.raises(CatalogueError, match="nobody decided"):
        catalogue.approve("demo", 1, "")
    assert catalogue.champion("demo") is None
    standing = catalogue.approval("demo", 1)
    assert standing is not None and standing.action == "expired"


def test_evidence_against_another_champion_is_none(waiting: Catalogue) -> None:
    waiting.set_alias("demo", "champion", 3, "by hand")
    with pytest.raises(CatalogueError, match="compared with version 1, and since then version 3 is served"):
        waiting.approve("demo", 2, "")
    champion = waiting.champion("demo")
    assert champion is not None and champion.version == 3


def test_what_nobody_asked_about_is_not_approved(catalogue: Catalogue) -> None:
    _registered(catalogue)
    for answer in (catalogue.approve, catalogue.refuse):
        with pytest.raises(CatalogueError, match="waits for no approval"):
            answer("demo", 1, "")
    with pytest.raises(CatalogueError, match="no model 'other'"):
        catalogue.approve("other", 1, "")


def test_a_rollback_of_what_was_approved(waiting: Catalogue) -> None:
    waiting.approve("demo", 2, "")
    assert waiting.rollback("demo", "worse in service").version == 1
    assert waiting.approve("demo", 2, "once more").action == "approved", (
        "the first answer: nothing is changed"
    )
    champion = waiting.champion("demo")
    assert champion is not None and champion.version == 1


def test_every_row_says_who(catalogue: Catalogue) -> None:
    _registered(catalogue)
    catalogue.set_alias("demo", "champion", 1, "first")
    with acting_as("cleo"):
        catalogue.set_alias("demo", "champion", 2, "second")
    catalogue.rollback("demo", "back")
    who = [row.actor for row in catalogue.promotions("demo")]
    assert who[1] == "cleo" and who[0] == who[2] and who[0] is not None and "@" in who[0]
    assert catalogue.model_version("demo", 1).origin == {"commit": "c0"}
