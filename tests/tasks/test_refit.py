"""What a run fits again of a corpus that grows, through the tasks: snapshots, the decision, alignments that stay."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from refresh_corpus import EMOTIONS, add_unlabelled, make_corpus, write_features, write_table

from infra.artifacts import ArtifactRef
from mer.recipes.loading import parse_recipe
from mer.recipes.recipe import Recipe
from tasks.data.dataset import snapshot_dataset
from tasks.data.features import extract_shard, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.learn.alignment import align_view
from tasks.serve.refit import ALIGNED_ON, IDENTITY, Refit, fit_identity, plan_refit
from tasks.stage.references import DatasetRef, SnapshotPlan, StreamInput, StreamPair, View
from tasks.stage.run import StageResult
from tasks.stage.workspace import workspace

RECIPE = """
name: growing
emotions: [neutral, angry, happy]
folds: {count: 3, use_published: true, seed: 2}
visual: {features: {modality: visual, source: "files:faces-UTT"}, alignment: {to: lexical, epochs: 1, embedding_size: 8}}
lexical: {features: {modality: lexical, source: "files:words-UTT"}}
require_audio: false
"""
MODEL = "growing"


class Growing:
    """A corpus of 108 labelled and 300 unlabelled clips, whose model is registered after each fit as a run would."""

    def __init__(self, folder: Path) -> None:
        self.corpus = make_corpus(folder / "corpus", labelled=6)
        self.recipe = parse_recipe(RECIPE, origin="growing")
        add_unlabelled(self.corpus, "first", 300, seed=7)

    def snapshot(self) -> DatasetRef:
        listing = list_corpus.fn(str(self.corpus), "growing", EMOTIONS)
        write_labels.fn(listing, EMOTIONS, probe_shard.fn("growing", listing.fresh, False))
        return snapshot_dataset.fn("growing", SnapshotPlan.of(self.recipe))

    def refit(self, recipe: Recipe | None = None) -> Refit:
        return plan_refit.fn(MODEL, recipe or self.recipe, self.snapshot(), True)

    def registered(self, refit: Refit, number: int) -> None:
        """A version as the run of this decision registers it."""
        key = f"{number:064x}"
        workspace().catalogue.add_model_version(
            MODEL,
            ArtifactRef(kind="model", key=key, sha256=key),
            snapshot=refit.dataset.membership,
            metrics={},
            idempotency_key=key,
            origin={"corpus": "growing", **refit.origin},
        )

    def aligned(self, refit: Refit, view: str = "final") -> StageResult:
        """The alignment of a view, as a run of this decision gets it."""
        catalogue = workspace().catalogue
        specs = {name: stream.features for name, stream in self.recipe.streams.items()}
        plan = plan_features.fn("growing", specs, [row.name for row in catalogue.clips("growing")], 512)
        for shard in plan.shards:
            extract_shard.fn("growing", shard)
        inputs = [
            StreamInput(name, name, self.recipe.streams[name], plan.features[name])
            for name in ("visual", "lexical")
        ]
        earlier = View(refit.aligned_on, view) if refit.aligned_on is not None else None
        return align_view.fn(View(refit.dataset, view), StreamPair(*inputs), earlier)

    def label(self, count: int, speaker: int, batch: str) -> None:
        """New clips with labels of a speaker that the corpus has."""
        names = [f"{batch}_{number}" for number in range(count)]
        truth = write_features(self.corpus, names, seed=hash(batch) % 1000)
        rows = list(csv.DictReader((self.corpus / "labels.csv").read_text(encoding="utf-8").splitlines()))
        new = [
            {"name": name, "emotion": EMOTIONS[kind], "speaker": f"s{speaker:02d}", "split": "train",
             "fold": str(speaker % 3)}
            for name, kind in zip(names, truth, strict=True)
        ]  # fmt: skip
        write_table(self.corpus, [*rows, *new])


@pytest.fixture
def growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Growing:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return Growing(tmp_path)


def test_a_few_new_clips_take_the_snapshot_of_the_last_version(growing: Growing) -> None:
    first = growing.refit()
    assert first.fits and "no version" in first.lines[0]
    growing.registered(first, 1)
    add_unlabelled(growing.corpus, "few", 4, seed=8)
    few = growing.refit()
    assert (few.fits, few.dataset, few.waiting, few.since_version) == (False, first.dataset, 4, 1)
    assert few.lines[0].startswith("0 new labelled clips of 10 needed, .9 % new pairs of 5 % needed")
    add_unlabelled(growing.corpus, "more", 18, seed=9)
    more = growing.refit()
    assert more.fits and more.dataset != first.dataset and more.aligned_on is None, "batches add up"
    assert [row.fitted for row in workspace().catalogue.refits(MODEL)] == [True, False, True]


def test_other_options_or_code_fit_whatever_has_grown(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing.registered(growing.refit(), 1)
    other = growing.recipe.model_copy(
        update={"fusion": growing.recipe.fusion.model_copy(update={"hidden": 3})}
    )
    assert growing.refit(other).fits
    patient = growing.recipe.model_copy(
        update={"gate": growing.recipe.gate.model_copy(update={"min_clips": 4})}
    )
    assert not growing.refit(patient).fits, "what is fitted does not depend on the gate"
    monkeypatch.setattr("tasks.serve.refit.source_digest", lambda: "edited")
    assert growing.refit().fits
    assert fit_identity(workspace(), growing.recipe) != fit_identity(workspace(), other)


@pytest.mark.slow
def test_labels_fit_again_what_learns_from_them_and_the_alignment_stays(growing: Growing) -> None:
    first = growing.refit()
    aligned = growing.aligned(first)
    assert aligned.ran
    growing.registered(first, 1)
    growing.label(12, speaker=4, batch="told")
    second = growing.refit()
    assert second.fits and second.dataset != first.dataset and second.aligned_on == first.dataset
    assert second.origin[ALIGNED_ON] == first.dataset.membership and second.origin[IDENTITY] == first.identity
    stays = growing.aligned(second)
    assert (stays.ran, stays.ref.sha256) == (False, aligned.ref.sha256)
    growing.registered(second, 2)

    add_unlabelled(growing.corpus, "few", 2, seed=8)
    kept = growing.refit()
    assert (kept.fits, kept.dataset, kept.aligned_on) == (False, second.dataset, first.dataset)
    assert growing.aligned(kept).ref.sha256 == aligned.ref.sha256, "of the version that stays"
    add_unlabelled(growing.corpus, "others", 8, seed=9)
    third = growing.refit()
    assert third.fits and third.aligned_on is None, (
        "12 + 2 + 8 of 408 since the alignment, though fewer since the version"
    )
    assert growing.aligned(third).ran


@pytest.mark.slow
def test_an_alignment_that_saw_what_is_held_out_now_is_fitted_anew(growing: Growing) -> None:
    first = growing.refit()
    for view in ("fold0", "final"):
        growing.aligned(first, view)
    growing.registered(first, 1)
    rows = list(csv.DictReader((growing.corpus / "labels.csv").read_text(encoding="utf-8").splitlines()))
    names = [row["name"] for row in rows if row["name"].startswith("first_")][:12]
    told = [
        row | {"emotion": "angry", "split": "train", "fold": "0"} if row["name"] in names else row
        for row in rows
    ]
    write_table(growing.corpus, told)  # of clips that fold0 was aligned on, and is tested on now
    second = growing.refit()
    assert second.fits and second.aligned_on == first.dataset
    assert growing.aligned(second, "fold0").ran
