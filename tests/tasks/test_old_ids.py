"""Artifacts of 0.1.0, which call clips by their content, among clips that are names; and files that changed since."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from catalogued import catalogue_clips

from infra.artifacts import ArtifactRef
from infra.catalogue import SnapshotMemberRow
from mer.examples import Examples
from mer.posteriors import Posteriors
from mer.selftraining.pseudo_labels import PseudoLabels
from tasks.data.old_ids import named_posteriors
from tasks.data.selections import BALLOT, SELECTION, ballot_file, load_selections, read_ballot
from tasks.serve.evaluation_files import HOLDOUT, OUT_OF_FOLD
from tasks.serve.promotion import _stored, scored_clips
from tasks.stage.workspace import Workspace, workspace

A, B, C, GONE = (letter * 64 for letter in "abcd")
CONTENTS = {"one": A, "copy of one": A, "two": B, "three": C}


def examples(contents: dict[str, str]) -> Examples:
    count = len(contents)
    return Examples(
        clip_ids=tuple(contents),
        emotion=np.arange(count) % 2,
        valence=np.full(count, np.nan, np.float32),
        speaker=(None,) * count,
        fold=np.zeros(count, np.int64),
        weight=np.ones(count, np.float32),
        content=tuple(contents.values()),
    )


def said(ids: tuple[str, ...]) -> Posteriors:
    logits = np.eye(2, dtype=np.float32)[np.arange(len(ids)) % 2]
    return Posteriors(ids, logits, np.zeros(len(ids), np.float32))


def member(name: str, content: str) -> SnapshotMemberRow:
    return SnapshotMemberRow(
        name=name, content=content, emotion="sad", valence=None, speaker=None, split="train", fold=None, transcript=None
    )  # fmt: skip


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


@pytest.mark.parametrize("ids", [(A, B, C), ("one", "two", "three"), (A, "two", C)])
def test_predictions_get_the_names_of_their_snapshot(ids: tuple[str, ...]) -> None:
    members = [member(name, content) for name, content in (("one", A), ("two", B), ("three", C))]
    before = said(ids)
    after = named_posteriors(before, members)
    assert after.clip_ids == ("one", "two", "three")
    np.testing.assert_array_equal(after.logits, before.logits)
    assert named_posteriors(said((GONE,)), members).clip_ids == (GONE,)


@pytest.mark.parametrize("old", [True, False])
def test_a_version_is_scored_on_clips_that_are_what_they_were(space: Workspace, old: bool) -> None:
    """`two` is another file now, and `copy of one` was no clip of its own when the version was trained."""
    then = {"one": A, "two": B, "three": C}
    catalogue_clips(space, "c", tuple(then), tuple(then.values()))
    snapshot = space.catalogue.snapshot("c", space.catalogue.clips("c"))
    ids = tuple(then.values() if old else then)
    files = {
        OUT_OF_FOLD: said(ids[:2]).to_parquet(),
        HOLDOUT: said(ids[2:]).to_parquet(),
    }
    evaluation = space.artifacts.commit("evaluation", "e" * 64, files)
    now = examples({**CONTENTS, "two": GONE})
    scored = scored_clips(now, _stored(space, now, evaluation, snapshot.id))
    assert scored.clip_ids == ("one", "three")
    assert scored.predicted.tolist() == [0, 0]
    assert scored.truth.tolist() == [0, 1]


def selection(space: Workspace, ids: tuple[str, ...], ballot: bytes) -> ArtifactRef:
    count = len(ids)
    labels = PseudoLabels(
        clip_ids=ids,
        emotion=np.arange(count) % 2,
        confidence=np.full(count, 0.9, np.float32),
        valence=np.zeros(count, np.float32),
        probabilities=np.full((count, 2), 0.5, np.float32),
        agreeing=np.ones(count, np.int64),
        classes=("sad", "happy"),
    )
    return space.artifacts.commit("pseudo-labels", "p" * 64, {SELECTION: labels.to_parquet(), BALLOT: ballot})


def test_pseudo_labels_of_0_1_0_are_those_of_the_first_clip_of_their_content(space: Workspace) -> None:
    ballot = json.dumps({"candidates": [A, B, GONE], "seen": [A, C]}).encode()
    ref = selection(space, (A, GONE, B), ballot)
    now = examples(CONTENTS)
    (labels,) = load_selections(space, [ref], now)
    assert labels.clip_ids == ("copy of one", "two") and labels.emotion.tolist() == [0, 0]
    read = read_ballot(space, ref, now)
    assert read.candidates == ("copy of one", "one", "two"), "equal content has been voted on too"
    assert read.seen == ("copy of one", "one", "three")


def test_a_vote_on_another_file_counts_for_nothing(space: Workspace) -> None:
    voted = examples(CONTENTS)
    ref = selection(space, ("one", "two"), ballot_file(("one", "two"), ("three",), voted))
    for now, left in ((voted, ("one", "two")), (examples({**CONTENTS, "one": GONE}), ("two",))):
        (labels,) = load_selections(space, [ref], now)
        read = read_ballot(space, ref, now)
        assert labels.clip_ids == read.candidates == left and read.seen == ("three",)
