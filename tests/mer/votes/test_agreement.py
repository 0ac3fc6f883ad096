"""Gold labels of votes, and the figures of agreement."""

from __future__ import annotations

import pytest

from mer.votes.agreement import agreement_of
from mer.votes.vote import Vote, majority, mean_valence, shares_of

EMOTIONS = ("angry", "happy", "sad")


def votes(**named: str) -> list[Vote]:
    return [Vote(annotator=who, emotion=emotion) for who, emotion in named.items()]


def test_majority_is_a_plurality_and_a_tie_is_none() -> None:
    assert majority(votes(a="sad", b="sad", c="happy")) == "sad"
    assert majority(votes(a="sad", b="happy")) is None
    assert majority([]) is None
    assert majority([Vote(annotator="a", emotion=None, valence=1.0)]) is None
    weighted = [
        Vote(annotator="a", emotion="sad", weight=0.7),
        Vote(annotator="a", emotion="happy", weight=0.3),
    ]
    assert majority([*weighted, Vote(annotator="b", emotion="happy", weight=0.4)]) is None, (
        "0.7 against 0.3 + 0.4"
    )


def test_shares_and_valence() -> None:
    assert shares_of(votes(a="sad", b="sad", c="happy", d="happy", e="sad")) == {"sad": 0.6, "happy": 0.4}
    assert shares_of([]) == {}
    judged = [Vote(annotator="a", emotion=None, valence=1.0), Vote(annotator="b", emotion=None, valence=-2.0)]
    assert mean_valence(judged) == -0.5
    assert mean_valence(votes(a="sad")) is None


def test_human_ceiling_leaves_each_annotator_out() -> None:
    found = agreement_of(
        {
            "one": votes(
                a="sad", b="sad", c="happy"
            ),  # a, b: others tie and are not asked; c: others say sad, wrong
            "two": votes(a="happy", b="happy", c="happy"),  # three times right
            "three": votes(a="angry"),  # nobody to compare with
        },
        EMOTIONS,
    )
    assert found is not None
    assert (found.clips, found.clips_with_several, found.votes, found.annotators) == (3, 2, 7, 3)
    assert (found.ceiling_votes, found.ceiling_accuracy) == (4, 0.75)
    assert found.by_annotator == {"a": (1, 1), "b": (1, 1), "c": (1, 2)}
    assert (found.unanimous, found.ties) == (1, 0)
    # truth: happy 3, sad 1; predicted happy 4: F1 of happy 6/7, of sad 0
    assert found.ceiling_waf == pytest.approx(0.75 * 6 / 7)


def test_counted_votes_give_the_same_figures() -> None:
    named = {"one": votes(a="sad", b="sad", c="happy"), "two": votes(a="happy", b="happy", c="happy")}
    counted = {
        "one": [
            Vote(annotator=None, emotion="sad", weight=2),
            Vote(annotator=None, emotion="happy", weight=1),
        ],
        "two": [Vote(annotator=None, emotion="happy", weight=3)],
    }
    first, second = agreement_of(named, EMOTIONS), agreement_of(counted, EMOTIONS)
    assert first is not None and second is not None
    assert second.annotators is None and second.by_annotator == {}
    same = ("alpha", "ceiling_accuracy", "ceiling_waf", "ceiling_votes", "votes", "unanimous")
    assert [getattr(first, name) for name in same] == [getattr(second, name) for name in same]


def test_valence_has_an_alpha_of_its_own() -> None:
    def judged(**valences: float) -> list[Vote]:
        return [Vote(annotator=who, emotion=None, valence=value) for who, value in valences.items()]

    found = agreement_of(
        {"one": judged(a=-2, b=-2), "two": judged(a=3, b=3), "three": judged(a=0, b=1)}, EMOTIONS
    )
    assert found is not None and found.alpha is None and found.alpha_valence is not None
    assert 0.9 < found.alpha_valence < 1
    assert found.ceiling_accuracy is None and found.ceiling_votes == 0


def test_nobody_voted() -> None:
    assert agreement_of({}, EMOTIONS) is None
    assert agreement_of({"one": []}, EMOTIONS) is None


def test_shares_without_numbers_of_votes_are_no_agreement() -> None:
    soft = {
        "one": [
            Vote(annotator=None, emotion="sad", weight=0.6),
            Vote(annotator=None, emotion="happy", weight=0.4),
        ]
    }
    found = agreement_of(soft, EMOTIONS)
    assert found is not None and (found.alpha, found.votes) == (None, 0)


def test_lines_fit_a_terminal_by_words() -> None:
    found = agreement_of(
        {"one": votes(a="sad", b="sad", c="happy"), "two": votes(a="happy", b="happy", c="sad")}, EMOTIONS
    )
    assert found is not None
    text = "\n".join(found.lines())
    assert "alpha" in text and "human ceiling" in text and "2 clips" in text
