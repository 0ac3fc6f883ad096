"""The review queue of a version, what counts of its decisions, exchange with Label Studio, and what a review gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from review_home import CORPUS, EMOTIONS, MODEL, catalogue_sounds, register_version

from infra.catalogue import ClipUpsert, Decision, ReviewFacts, VoteRow
from mer.errors import ConfigError
from mer.recipes import FoldPlan
from mer.review.orders import Order
from tasks.data.agreement import corpus_agreement, reviewers_agreement
from tasks.data.arrivals import FolderSource
from tasks.data.dataset import load_examples, load_partitions, snapshot_dataset
from tasks.data.reviewed import labels_of_today
from tasks.review.arrivals import WithReviews
from tasks.review.exchange import export_queue, import_reviews
from tasks.review.progress import review_gain, review_progress
from tasks.review.queue import ReviewQueue, review_queue
from tasks.stage.references import SnapshotPlan
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    opened = workspace()
    catalogue_sounds(opened, tmp_path / "sounds", labelled=24, unlabelled=12)
    register_version(opened, wrong=("l05", "l09"))
    return opened


def decide(space: Workspace, name: str, decision: Decision, annotator: str = "ann", **weights: float) -> None:
    (row,) = space.catalogue.clips(CORPUS, only=[name])
    facts = ReviewFacts(
        key=f"{name} {annotator} {decision}", corpus=CORPUS, name=name, content=row.content, annotator=annotator,
        decision=decision, weights=weights, shown={"emotion": "neutral", "source": "model"}, seconds=2.0,
    )  # fmt: skip
    space.catalogue.add_review(facts)


def queue(space: Workspace, order: Order = Order.UNCERTAINTY) -> ReviewQueue:
    champion = space.catalogue.champion(MODEL)
    assert champion is not None
    return review_queue(space, champion, order)


def test_orders(space: Workspace) -> None:
    unsure = queue(space)
    assert unsure.names == tuple(f"u{n:02d}" for n in reversed(range(12)))
    assert unsure.items[0].source == "model" and unsure.items[0].emotion == "neutral"
    assert sum(unsure.items[0].probabilities.values()) == pytest.approx(1)
    assert set(queue(space, Order.INFLUENCE).names) == set(unsure.names)
    drawn = queue(space, Order.RANDOM)
    assert set(drawn.names) == set(unsure.names) and drawn.names != unsure.names
    assert drawn.names == queue(space, Order.RANDOM).names
    errors = queue(space, Order.ERRORS)
    assert set(errors.names[:2]) == {"l05", "l09"} and len(errors.items) == 24, (
        "the test clip is never asked about"
    )
    assert [item.likely_wrong for item in errors.items] == [True] * 2 + [False] * 22


def test_reviewed_clips_leave_and_new_ones_come_last(space: Workspace, tmp_path: Path) -> None:
    decide(space, "u11", Decision.ACCEPT, neutral=1)
    decide(space, "u10", Decision.CANNOT_TELL)
    new = ClipUpsert(
        name="new", content="f" * 64, path=str(tmp_path / "sounds" / "new.wav"), size=1, mtime_ns=1, duration_seconds=1.0,
        has_audio=True, has_video=False, split="unlabelled",
    )  # fmt: skip
    space.catalogue.upsert_clips(CORPUS, [new])
    found = queue(space)
    assert found.names[0] == "u09" and found.names[-1] == "new" and (found.asked, found.unknown) == (13, 1)


def test_a_version_of_before_is_told_what_it_lacks(space: Workspace) -> None:
    row = space.catalogue.champion(MODEL)
    assert row is not None and row.evaluation is not None
    files = {
        name: space.artifacts.read(row.evaluation, name)
        for name in ("out_of_fold.parquet", "holdout.parquet")
    }
    old = space.artifacts.commit("evaluation", "0" * 64, files)
    number = space.catalogue.add_model_version(
        MODEL, row.artifact, evaluation=old, snapshot=row.snapshot_id, metrics={}, idempotency_key="old"
    )
    with pytest.raises(ConfigError, match="earlier release"):
        review_queue(space, space.catalogue.model_version(MODEL, number), Order.UNCERTAINTY)
    assert review_queue(space, space.catalogue.model_version(MODEL, number), Order.ERRORS).items


def test_what_counts_as_a_label(space: Workspace) -> None:
    decide(space, "u01", Decision.CORRECT, sad=1)
    decide(space, "u02", Decision.SEVERAL, sad=0.7, angry=0.3)
    decide(space, "u03", Decision.SEVERAL, sad=1, angry=1)
    decide(space, "u04", Decision.CANNOT_TELL)
    decide(space, "l05", Decision.CORRECT, happy=1)
    decide(space, "u05", Decision.CORRECT, sad=1)
    decide(space, "u05", Decision.CORRECT, "ben", angry=1)
    decide(space, "u05", Decision.SEVERAL, "cho", angry=0.6, sad=0.4)
    rows = {
        row.name: row for row in labels_of_today(space, CORPUS, space.catalogue.clips(CORPUS), soft=False)
    }
    found = {name: (rows[name].emotion, rows[name].split) for name in ("u01", "u02", "u03", "l05", "u05")}
    assert found == {
        "u01": ("sad", "train"), "u02": ("sad", "train"), "u03": (None, "unlabelled"), "l05": ("happy", "train"),
        "u05": ("angry", "train"),
    }  # fmt: skip
    assert "u04" not in rows, "nothing is learnt of a clip that nobody can tell"
    assert (
        rows["u01"].label_source == "review"
        and rows["l00"].label_source is None
        and rows["u01"].votes is None
    )
    soft = {row.name: row for row in labels_of_today(space, CORPUS, space.catalogue.clips(CORPUS), soft=True)}
    assert soft["u02"].votes == (("sad", 0.7), ("angry", 0.3)) and soft["u01"].votes is None
    assert dict(soft["u05"].votes or ()) == pytest.approx({"angry": 1.6 / 3, "sad": 1.4 / 3})


def test_the_owner_has_the_last_word(space: Workspace) -> None:
    decide(space, "l05", Decision.CORRECT, happy=1)
    space.catalogue.set_gold_labels(CORPUS, [("l05", "sad", None)])
    rows = {
        row.name: row for row in labels_of_today(space, CORPUS, space.catalogue.clips(CORPUS), soft=False)
    }
    assert rows["l05"].emotion == "sad" and rows["l05"].label_source is None


def test_a_content_that_is_tested_keeps_the_owners_label(space: Workspace) -> None:
    decide(space, "u01", Decision.CORRECT, sad=1)
    (row,) = space.catalogue.clips(CORPUS, only=["u01"])
    twin = ClipUpsert(
        name="t1", content=row.content, path=str(row.path.with_name("t1.wav")), size=1, mtime_ns=1, duration_seconds=1.0,
        has_audio=True, has_video=False, split="test",
    )  # fmt: skip
    space.catalogue.upsert_clips(CORPUS, [twin])
    rows = {
        row.name: row for row in labels_of_today(space, CORPUS, space.catalogue.clips(CORPUS), soft=False)
    }
    assert rows["u01"].emotion is None


def test_reviewed_labels_and_soft_votes_reach_the_snapshot(space: Workspace) -> None:
    decide(space, "u01", Decision.CORRECT, sad=1)
    decide(space, "u02", Decision.SEVERAL, sad=0.7, angry=0.3)
    space.catalogue.set_votes(
        CORPUS, {"l00": [VoteRow("a", "neutral", 2.0, None), VoteRow("b", "sad", 1.0, None)]}
    )
    hard = snapshot_dataset.fn(CORPUS, SnapshotPlan(EMOTIONS, FoldPlan(count=3)))
    soft = snapshot_dataset.fn(CORPUS, SnapshotPlan(EMOTIONS, FoldPlan(count=3), targets="soft"))
    assert hard.labelled == soft.labelled == 26 and hard.membership != soft.membership
    examples = load_examples(space, hard).examples
    assert examples.target is None
    examples, views = load_partitions(space, soft)
    assert examples.target is not None
    place = {name: row for row, name in enumerate(examples.clip_ids)}
    assert examples.target[place["u02"]].tolist() == pytest.approx([0, 0.3, 0, 0.7])
    assert examples.target[place["l00"]].tolist() == pytest.approx([2 / 3, 0, 0, 1 / 3])
    assert np.isnan(examples.target[place["l01"]]).all() and np.isnan(examples.target[place["u01"]]).all()
    seen = views["final"].digest(examples, unlabelled=False)
    other = space.catalogue.snapshot_members(soft.membership)
    assert {m.name for m in other if m.label_source == "review"} == {"u01", "u02"}
    space.catalogue.set_votes(
        CORPUS, {"l00": [VoteRow("a", "neutral", 3.0, None), VoteRow("b", "sad", 1.0, None)]}
    )
    again = snapshot_dataset.fn(CORPUS, SnapshotPlan(EMOTIONS, FoldPlan(count=3), targets="soft"))
    examples, views = load_partitions(space, again)
    assert views["final"].digest(examples, unlabelled=False) != seen, "other votes are another training set"


def test_label_studio_goes_out_and_comes_back(space: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    config, without = export_queue(space, queue(space), file)
    tasks = json.loads(file.read_text())
    assert (
        [task["data"]["name"] for task in tasks][:2] == ["u11", "u10"] and without == 0 and config.is_file()
    )
    for task, emotion in zip(tasks, ("neutral", "sad", "cannot tell", "joyous"), strict=False):
        choice = {
            "from_name": "emotion",
            "to_name": "clip",
            "type": "choices",
            "value": {"choices": [emotion]},
        }
        task["annotations"] = [{"id": task["id"], "completed_by": {"email": "ann"}, "result": [choice]}]
    for task in tasks[4:]:
        task["annotations"] = []
    file.write_text(json.dumps(tasks))
    done = import_reviews(space, queue(space), file)
    assert (done.written, done.known, len(done.refused)) == (3, 0, 1) and "joyous" in done.refused[0]
    assert [row.decision for row in space.catalogue.reviews(CORPUS)] == ["accept", "correct", "cannot_tell"]
    again = import_reviews(space, queue(space), file)
    assert (again.written, again.known) == (0, 3)
    assert len(queue(space).items) == 9


def test_progress_and_agreement(space: Workspace) -> None:
    decide(space, "u01", Decision.ACCEPT, neutral=1)
    decide(space, "u02", Decision.CORRECT, sad=1)
    decide(space, "u02", Decision.CORRECT, "ben", sad=1)
    decide(space, "u03", Decision.CANNOT_TELL, "ben")
    progress = review_progress(space, CORPUS)
    assert (progress.all.decisions, progress.all.agreed, progress.all.compared) == (4, 1, 3)
    assert progress.by_annotator["ann"].agreement == 0.5 and progress.by_annotator["ben"].by_kind == {
        "cannot_tell": 1, "correct": 1,
    }  # fmt: skip
    between = reviewers_agreement(space, CORPUS)
    assert between is not None and between.clips_with_several == 1 and corpus_agreement(space, CORPUS) is None


def test_gain_of_reviewed_labels(space: Workspace) -> None:
    assert review_gain(space, MODEL) is None
    decide(space, "u01", Decision.CORRECT, sad=1)
    decide(space, "u02", Decision.CORRECT, sad=1)
    register_version(space)
    gain = review_gain(space, MODEL)
    assert gain is not None and (gain.version, gain.against, gain.labels) == (2, 1, 2)
    assert gain.gain > 0.05 and gain.per_label == gain.gain / 2 and "2 reviewed labels more" in gain.line()


def test_reviewed_labels_start_a_run_as_new_clips_do(space: Workspace, tmp_path: Path) -> None:
    source = WithReviews(FolderSource(tmp_path / "sounds", CORPUS, settle_seconds=0), CORPUS)
    assert source.look(space.catalogue).new == frozenset()
    decide(space, "u01", Decision.CORRECT, sad=1)
    (first,) = source.look(space.catalogue).new
    space.catalogue.add_batch("watch", [first])
    decide(space, "u02", Decision.CORRECT, sad=1)
    assert len(source.look(space.catalogue).new - space.catalogue.watched_contents("watch")) == 1
    assert WithReviews(FolderSource(tmp_path / "sounds", CORPUS, 0), "unknown").look(space.catalogue)
