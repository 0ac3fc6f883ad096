"""Votes, reviews and claims in the catalogue: nothing lost, nothing twice, nobody overwritten."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from alembic import command
from catalogue_rows import clip, content

from infra.catalogue import Catalogue, Decision, ReviewFacts, VoteRow, open_catalogue
from infra.catalogue import reviews as reviews_module
from infra.catalogue.schema import alembic_config
from infra.errors import ReviewRefused

NAMES = [f"clip{number}" for number in range(6)]


@pytest.fixture
def corpus(catalogue: Catalogue) -> str:
    catalogue.upsert_corpus("c", root="/corpus", format="table", emotions=("neutral", "angry", "sad"))
    rows = [clip(n, split="unlabelled") for n in range(6)] + [clip(7, split="canary"), clip(8, split="test")]
    catalogue.upsert_clips("c", [*rows, clip(8, name="twin", path="/corpus/twin.mp4", split="unlabelled")])
    catalogue.set_gold_labels("c", [("clip5", "sad", None)])
    return "c"


def facts(number: int, annotator: str = "ann", **changed: object) -> ReviewFacts:
    values: dict[str, object] = {
        "key": f"k{number}{annotator}", "corpus": "c", "name": f"clip{number}", "content": content(number),
        "annotator": annotator, "decision": Decision.ACCEPT, "weights": {"angry": 1.0}, "shown": {"emotion": "angry"},
    }  # fmt: skip
    return ReviewFacts(**{**values, **changed})  # type: ignore[arg-type]


def test_votes_replace_those_of_their_clips(catalogue: Catalogue, corpus: str) -> None:
    first = [VoteRow("ann", "angry", 1.0, None), VoteRow(None, "sad", 2.0, -1.5)]
    catalogue.set_votes(corpus, {"clip0": first, "clip1": [VoteRow("ann", None, 1.0, 0.5)]})
    assert catalogue.votes(corpus) == {"clip0": first, "clip1": [VoteRow("ann", None, 1.0, 0.5)]}
    catalogue.set_votes(corpus, {"clip0": [], "clip2": first[:1]})
    assert sorted(catalogue.votes(corpus)) == ["clip1", "clip2"]


def test_two_annotators_get_different_clips_and_each_its_own_again(catalogue: Catalogue, corpus: str) -> None:
    first, second = (catalogue.claim_review(corpus, NAMES, who) for who in ("ann", "ben"))
    assert first is not None and second is not None
    assert (first.name, second.name) == ("clip0", "clip1")
    again = catalogue.claim_review(corpus, NAMES, "ann")
    assert again is not None and (again.name, again.token) == (first.name, first.token)
    assert [(row.name, row.annotator) for row in catalogue.review_claims(corpus)] == [
        ("clip0", "ann"),
        ("clip1", "ben"),
    ]
    row = catalogue.add_review(facts(0), first.token)
    assert (row.owner_emotion, row.decision, row.weights) == (None, Decision.ACCEPT, {"angry": 1.0})
    following = catalogue.claim_review(corpus, NAMES, "ann")
    assert following is not None and following.name == "clip2"
    catalogue.release_review(following.token)
    assert [row.name for row in catalogue.review_claims(corpus)] == ["clip1"]


def test_a_decision_sent_twice_is_one_and_another_under_its_key_is_refused(
    catalogue: Catalogue, corpus: str
) -> None:
    claim = catalogue.claim_review(corpus, NAMES, "ann")
    assert claim is not None
    row = catalogue.add_review(facts(0), claim.token)
    assert catalogue.add_review(facts(0), claim.token) == row
    with pytest.raises(ReviewRefused, match="another decision"):
        catalogue.add_review(facts(0, decision=Decision.CORRECT, weights={"sad": 1.0}), claim.token)
    assert catalogue.reviews() == [row]


def test_who_was_away_too_long_writes_nothing(
    catalogue: Catalogue, corpus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = catalogue.claim_review(corpus, NAMES[:1], "ann", seconds=60)
    assert slow is not None and catalogue.claim_review(corpus, NAMES[:1], "ben") is None
    now = reviews_module.utc_now()
    monkeypatch.setattr(reviews_module, "utc_now", lambda: now + timedelta(seconds=61))
    fast = catalogue.claim_review(corpus, NAMES[:1], "ben")
    assert fast is not None and fast.token != slow.token
    with pytest.raises(ReviewRefused, match="somebody else"):
        catalogue.add_review(facts(0), slow.token)
    catalogue.add_review(facts(0, "ben"), fast.token)
    with pytest.raises(ReviewRefused, match="has ended"):
        catalogue.add_review(facts(0), slow.token)
    assert [row.annotator for row in catalogue.reviews(corpus)] == ["ben"]
    assert catalogue.claim_review(corpus, NAMES[:1], "ann") is None, "one reviewer is enough"
    both = catalogue.claim_review(corpus, NAMES[:1], "ann", reviewers=2)
    assert both is not None and both.name == "clip0"


def test_what_is_taken_back_does_not_stand_and_is_the_annotators_again(
    catalogue: Catalogue, corpus: str
) -> None:
    for number in (0, 1):
        claim = catalogue.claim_review(corpus, NAMES, "ann")
        assert claim is not None
        catalogue.add_review(facts(number), claim.token)
    undone, claim = catalogue.undo_review(corpus, "ann", "undo1")
    assert (undone.name, undone.decision) == ("clip1", Decision.UNDO)
    assert claim is not None and claim.name == "clip1"
    assert [row.name for row in catalogue.standing_reviews(corpus)] == ["clip0"]
    catalogue.add_review(facts(1, key="again", decision=Decision.CORRECT, weights={"sad": 1.0}), claim.token)
    assert [(row.name, dict(row.weights)) for row in catalogue.standing_reviews(corpus)] == [
        ("clip0", {"angry": 1.0}), ("clip1", {"sad": 1.0}),
    ]  # fmt: skip
    assert [row.decision for row in catalogue.reviews(corpus)] == ["accept", "accept", "undo", "correct"]
    with pytest.raises(ReviewRefused, match="nothing to take back"):
        catalogue.undo_review(corpus, "ben", "undo2")
    assert catalogue.undo_review(corpus, "ann", "undo1")[0] == undone
    with pytest.raises(ReviewRefused, match="another decision"):
        catalogue.undo_review(corpus, "ben", "undo1")


@pytest.mark.parametrize(
    ("number", "changed", "said"),
    [
        (7, {}, "test or canary"),
        (8, {}, "test or canary"),
        (8, {"name": "twin"}, "test or canary"),
        (0, {"content": content(1)}, "another file"),
        (9, {}, "no such clip"),
        (0, {"weights": {"happy": 1.0}}, "expected emotions out of neutral, angry, sad"),
        (0, {"weights": {}}, "fit it"),
        (0, {"weights": {"sad": float("nan")}}, "fit it"),
        (0, {"weights": {"sad": 1.0}, "decision": Decision.SEVERAL}, "fit it"),
        (0, {"decision": Decision.CANNOT_TELL}, "fit it"),
        (0, {"annotator": " "}, "name of the annotator"),
        (0, {"annotator": "a\x00"}, "name of the annotator"),
    ],
)
def test_what_may_not_be_reviewed(
    catalogue: Catalogue, corpus: str, number: int, changed: dict[str, object], said: str
) -> None:
    with pytest.raises(ReviewRefused, match=said):
        catalogue.add_review(facts(number, **changed))
    assert catalogue.reviews(corpus) == []


def test_a_replaced_file_waits_for_a_reviewer_again(catalogue: Catalogue, corpus: str) -> None:
    catalogue.add_review(facts(0))
    assert catalogue.claim_review(corpus, ["clip0"], "ben") is None
    catalogue.upsert_clips(corpus, [clip(0, content=content(50), split="unlabelled")])
    claim = catalogue.claim_review(corpus, ["clip0"], "ann")
    assert claim is not None and claim.name == "clip0"


def test_the_owners_label_of_then_is_noted(catalogue: Catalogue, corpus: str) -> None:
    row = catalogue.add_review(facts(5, decision=Decision.SEVERAL, weights={"sad": 0.6, "angry": 0.4}))
    assert row.owner_emotion == "sad"


def test_many_at_once_review_every_clip_once(catalogue: Catalogue, corpus: str) -> None:
    def work(who: str) -> None:
        while (claim := catalogue.claim_review(corpus, NAMES, who)) is not None:
            number = int(claim.name.removeprefix("clip"))
            catalogue.add_review(facts(number, who), claim.token)

    threads = [threading.Thread(target=work, args=(who,)) for who in ("ann", "ben", "cho")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row.name for row in catalogue.reviews(corpus)) == NAMES


def test_the_migration_goes_both_ways(database_url: str) -> None:
    with open_catalogue(database_url) as catalogue:
        config = alembic_config()
        with catalogue.database.writing() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0016")
            command.upgrade(config, "head")
        catalogue.upsert_corpus("c", root="/corpus", format="table", emotions=("a", "b"))
        assert catalogue.reviews("c") == [] and catalogue.votes("c") == {}
