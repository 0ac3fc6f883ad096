"""Which model a run trains, which one answers, and what a champion of other clips is compared on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from corpus_layouts import labels

import mer
from mer.clips import Clip
from mer.corpora.options import ReadingOptions
from mer.errors import ConfigError, DecoderUnavailable
from mer.evaluation.gate import GateConfig
from mer.fusion.fitted import save_fusion
from mer.posteriors import Posteriors
from mer.predictor.package import FUSION_FOLDER, RECORD, ModelPackage
from mer.recipes import Recipe
from tasks.data.dataset import snapshot_dataset
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.serve.by_hand import promote_by_hand, roll_back
from tasks.serve.evaluation_files import HOLDOUT, OUT_OF_FOLD
from tasks.serve.library import answering_version, model_named, model_of_corpus
from tasks.serve.promotion import gate_and_promote, require_same_classes
from tasks.stage.references import DatasetRef, ModelVersion, Promotion, SnapshotPlan
from tasks.stage.run import StageResult
from tasks.stage.workspace import Workspace, workspace

pytestmark = pytest.mark.slow

CLASSES = ("angry", "happy")
GATE = GateConfig(min_clips=20)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def recipe_of(name: str = "clips", emotions: tuple[str, ...] = CLASSES) -> Recipe:
    stream = {"features": {"modality": "visual", "source": "files:clip-UTT"}}
    return Recipe.model_validate({"name": name, "emotions": emotions, "visual": stream})


def corpus_of(root: Path, clips: int, *, flipped: bool = False, correct: str = "") -> DatasetRef:
    """Angry and happy clips of `clips / 4` speakers, told apart by their vectors; `flipped`: the other way round.

    `correct`: a clip whose label is the other one.
    """
    named = {f"{root.name}{number:02d}": CLASSES[number % 2] for number in range(clips)}
    said = {
        name: CLASSES[1 - CLASSES.index(emotion)] if name == correct else emotion
        for name, emotion in named.items()
    }
    labels(root, "track1_label_6way.npz", train={name: {"emo": emotion} for name, emotion in said.items()})
    generator = np.random.default_rng(len(root.name))
    folder = root / "features" / "clip-UTT"
    folder.mkdir(parents=True, exist_ok=True)
    for name, emotion in named.items():
        centre = 2 * CLASSES.index(emotion) - 1
        vector = generator.normal(0, 0.3, 4) + (-centre if flipped else centre)
        if not (folder / f"{name}.npy").exists():
            np.save(folder / f"{name}.npy", vector.astype(np.float32))
    listing = list_corpus.fn(str(root), root.name, CLASSES, ReadingOptions())
    write_labels.fn(listing, CLASSES, probe_shard.fn(root.name, listing.fresh, False))
    return snapshot_dataset.fn(root.name, SnapshotPlan.of(recipe_of()))


def version_of(
    space: Workspace,
    model: str,
    dataset: DatasetRef,
    *,
    wrong: int = 0,
    folder: Path | None = None,
    mistaught: bool = False,
) -> tuple[ModelVersion, StageResult]:
    """A version that was wrong on its first clips; with a folder, one that can predict, `mistaught` the other class."""
    rows = sorted(space.catalogue.snapshot_members(dataset.membership), key=lambda row: row.name)
    truth = np.array([CLASSES.index(str(row.emotion)) for row in rows])
    said = np.where(np.arange(len(rows)) < wrong, 1 - truth, truth)
    posteriors = Posteriors(
        tuple(row.name for row in rows), np.eye(2, dtype=np.float32)[said], np.zeros(len(rows), np.float32)
    )
    nobody = posteriors.restricted([])
    key = f"{model}-{dataset.corpus}-{wrong}"
    evaluation = space.artifacts.commit(
        "evaluation", key, {OUT_OF_FOLD: posteriors.to_parquet(), HOLDOUT: nobody.to_parquet()}
    )
    record = ModelPackage(recipe=recipe_of(), system="fused").model_dump_json().encode()
    files: dict[str, Path | bytes] = {RECORD: record}
    if folder is not None:
        vectors = np.stack([np.load(folder / "features" / "clip-UTT" / f"{row.name}.npy") for row in rows])
        fusion = mer.Fusion(epochs=200, hidden=16, learning_rate=1e-2).fit(
            {"visual": vectors},
            [CLASSES[1 - c if mistaught else c] for c in truth],
            speakers=np.arange(len(truth)) // 4,
        )
        saved = folder.with_name(f"{model}-package") / FUSION_FOLDER
        save_fusion(saved, fusion.fitted_)
        files |= {f"{FUSION_FOLDER}/{path.name}": path for path in saved.iterdir()}
    package = space.artifacts.commit("model", key, files)
    number = space.catalogue.add_model_version(
        model,
        package,
        evaluation=evaluation,
        snapshot=dataset.membership,
        metrics={"waf": 1.0},
        idempotency_key=key,
    )
    return ModelVersion(model, number, package), StageResult(evaluation, True, 0.0)


def gated(dataset: DatasetRef, version: tuple[ModelVersion, StageResult]) -> Promotion:
    return gate_and_promote.fn(dataset, GATE, *version, None)


@pytest.mark.parametrize("worse", [True, False], ids=["a worse champion", "an equal champion"])
def test_a_champion_of_other_clips_is_asked_about_these(
    space: Workspace, tmp_path: Path, worse: bool
) -> None:
    """Before, the gate found 0 clips to compare on and rejected every model of another corpus, for ever."""
    first, second = corpus_of(tmp_path / "first", 40), corpus_of(tmp_path / "second", 40)
    champion = version_of(
        space, "shared", first, wrong=8 if worse else 0, folder=tmp_path / "first", mistaught=worse
    )
    assert gated(first, champion).decision == "promoted"
    decided = gated(second, version_of(space, "shared", second, folder=tmp_path / "second"))
    assert decided.decision == ("promoted" if worse else "rejected"), decided.reason
    (evidence,) = [
        json.loads(row.evidence or "")
        for row in space.catalogue.promotions("shared", None)
        if row.version == 2
    ]
    assert evidence["clips"] == 80, "the new one's, and those that the champion was scored on"
    assert evidence["challenger"] > 0.95 and (evidence["champion"] < 0.6) == worse


def test_every_challenger_spends_of_the_champions_error_budget(space: Workspace, tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "only", 80)
    assert gated(corpus, version_of(space, "one", corpus, wrong=8)).decision == "promoted"
    for wrong in (10, 12):
        assert gated(corpus, version_of(space, "one", corpus, wrong=wrong)).decision == "rejected"
        assert gated(corpus, version_of(space, "one", corpus, wrong=wrong)).decision == "rejected", (
            "asked twice"
        )
    assert gated(corpus, version_of(space, "one", corpus)).decision == "promoted"
    assert gated(corpus, version_of(space, "one", corpus, wrong=14)).decision == "rejected"
    rows = space.catalogue.promotions("one", None)
    assert [json.loads(row.evidence or "")["earlier"] for row in rows] == [0, 0, 1, 2, 0]


def test_two_corpora_of_one_model_do_not_put_their_own_back_for_ever(
    space: Workspace, tmp_path: Path
) -> None:
    """Each is right about its own clips alone: whichever came first stays, however often both are trained."""
    first, second = corpus_of(tmp_path / "first", 40), corpus_of(tmp_path / "second", 40, flipped=True)
    one = version_of(space, "shared", first, folder=tmp_path / "first")
    other = version_of(space, "shared", second, folder=tmp_path / "second")
    assert gated(first, one).decision == "promoted"
    assert gated(second, other).decision == "rejected"
    assert gated(first, one).decision == "kept"
    assert gated(second, other).decision == "rejected"


def test_a_champion_reads_few_clips_at_a_time(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features of a thousand clips do not fit into memory together."""
    from mer.predictor.predictor import Predictor
    from tasks.serve import unseen

    sizes: list[int] = []
    read = Predictor.posteriors

    def counted(predictor: Predictor, clips: Sequence[Clip]) -> Posteriors:
        sizes.append(len(clips))
        return read(predictor, clips)

    monkeypatch.setattr(Predictor, "posteriors", counted)
    monkeypatch.setattr(unseen, "AT_ONCE", 16)
    first = corpus_of(tmp_path / "first", 40)
    gated(first, version_of(space, "shared", first, folder=tmp_path / "first"))
    second = corpus_of(tmp_path / "second", 40)
    challenger = version_of(space, "shared", second, folder=tmp_path / "second")
    assert "80 clips" in gated(second, challenger).reason
    assert sizes == [16, 16, 8] * 2


def test_a_champion_that_does_not_answer_now_is_asked_again(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rejection stands for good, so it may not rest on a store or a decoder that was away for a minute."""
    from mer.predictor.predictor import Predictor

    first = corpus_of(tmp_path / "first", 40)
    gated(first, version_of(space, "shared", first, wrong=8, folder=tmp_path / "first", mistaught=True))
    second = corpus_of(tmp_path / "second", 40)
    challenger = version_of(space, "shared", second, folder=tmp_path / "second")

    def away(*_: object) -> Posteriors:
        raise DecoderUnavailable("away")

    with monkeypatch.context() as patch, pytest.raises(DecoderUnavailable):
        patch.setattr(Predictor, "posteriors", away)
        gated(second, challenger)
    assert gated(second, challenger).decision == "promoted"


def test_a_champion_that_cannot_be_loaded_is_compared_on_what_it_said(
    space: Workspace, tmp_path: Path
) -> None:
    first = corpus_of(tmp_path / "first", 40)
    assert gated(first, version_of(space, "shared", first)).decision == "promoted"
    second = corpus_of(tmp_path / "second", 40)
    decided = gated(second, version_of(space, "shared", second, folder=tmp_path / "second"))
    assert decided.decision == "rejected" and "40 clips" in decided.reason


def test_a_champion_is_not_asked_about_what_it_learnt(space: Workspace, tmp_path: Path) -> None:
    from tasks.data.dataset import load_examples
    from tasks.serve.unseen import unseen_clips

    first = corpus_of(tmp_path / "first", 40)
    gated(first, version_of(space, "shared", first))
    champion = space.catalogue.champion("shared")
    assert champion is not None
    more = corpus_of(tmp_path / "first", 44)
    truth = load_examples(space, more).examples
    unseen = unseen_clips(space, more, truth, champion, truth.clip_ids)
    assert {truth.clip_ids[row] for row in unseen} == {"first40", "first41", "first42", "first43"}


def test_a_corrected_label_scores_stored_predictions_anew(space: Workspace, tmp_path: Path) -> None:
    first = corpus_of(tmp_path / "first", 40)
    assert gated(first, version_of(space, "first", first, wrong=8)).decision == "promoted"
    corrected = corpus_of(tmp_path / "first", 40, correct="first00")
    decided = gated(corrected, version_of(space, "first", corrected))
    evidence = json.loads(space.catalogue.promotions("first", None)[-1].evidence or "")
    # the champion said the opposite of the old label of clip 0, which is the new one: 7 of 40 are wrong now
    assert decided.decision == "promoted" and evidence["clips"] == 40
    assert evidence["champion"] == pytest.approx(33 / 40, abs=0.01)


def test_too_few_clips_for_a_champion_say_what_can_be_done(space: Workspace, tmp_path: Path) -> None:
    few = corpus_of(tmp_path / "few", 12)
    decided = gated(few, version_of(space, "few", few))
    assert decided.decision == "rejected"
    for hint in ("12 clips", "at least 20", "mer predict CLIP --model few", "mer models few --promote 1"):
        assert hint in decided.reason
    row, remark, was_gated = answering_version(space, "few")
    assert row.version == 1 and not was_gated and "not gated" in remark and "12 clips" in remark


def test_a_version_is_promoted_by_hand_with_its_evidence_and_rolled_back(
    space: Workspace, tmp_path: Path
) -> None:
    first = corpus_of(tmp_path / "first", 40)
    gated(first, version_of(space, "first", first))
    worse = version_of(space, "first", first, wrong=10)
    assert gated(first, worse).decision == "rejected"
    done = promote_by_hand("first", 2, "the label shift of March")
    champion = space.catalogue.champion("first")
    assert champion is not None and champion.version == 2
    audit = space.catalogue.promotions("first")[-1]
    assert "by hand" in audit.reason and "the label shift of March" in audit.reason
    assert json.loads(audit.evidence or "")["against"]["difference"] < 0
    assert any("difference -" in line and "40 clips" in line for line in done.evidence)
    assert any("the gate said: kept out" in line for line in done.evidence)
    with pytest.raises(ConfigError, match="is the champion already"):
        promote_by_hand("first", 2)
    with pytest.raises(LookupError, match="has no version 9"):
        promote_by_hand("first", 9)
    assert roll_back("first").audit.version == 1


def test_other_classes_than_the_champions_are_refused_before_training(
    space: Workspace, tmp_path: Path
) -> None:
    require_same_classes("first", CLASSES)
    first = corpus_of(tmp_path / "first", 40)
    gated(first, version_of(space, "first", first))
    require_same_classes("first", CLASSES)
    *kept, last = CLASSES
    for emotions, said in (
        (
            tuple(kept),
            rf"\({last} gone\).*--emotions {','.join(CLASSES)} to train .*--model first-{len(kept)}$",
        ),
        (
            (*CLASSES, "boredom", "content"),
            r"\(boredom, content new\).*--label-map boredom=,content= to leave out",
        ),
        ((*kept, "boredom"), rf"\(boredom new; {last} gone\)"),
        (CLASSES[::-1], r"\(their order is another\), so that"),
    ):
        with pytest.raises(
            ConfigError, match=rf"its champion \(version 1\) answers {', '.join(CLASSES)}, .*{said}"
        ):
            require_same_classes("first", emotions)


def test_a_model_is_called_after_its_corpus(space: Workspace, tmp_path: Path) -> None:
    assert model_of_corpus("", "demo") == "demo", "the demo corpus"
    assert model_of_corpus("mine", "clips") == "mine"
    mine = corpus_of(tmp_path / "mine", 20)
    version_of(space, "clips", mine)
    assert model_of_corpus("mine", "clips") == "clips", (
        "as 0.3.0 called it: its champion stays the one to beat"
    )
    assert model_of_corpus("other", "clips") == "other"
    version_of(space, "mine", mine)
    assert model_of_corpus("mine", "clips") == "mine"


def test_the_model_promoted_last_answers_unless_a_later_one_was_not_promoted(
    space: Workspace, tmp_path: Path
) -> None:
    first, second = corpus_of(tmp_path / "first", 40), corpus_of(tmp_path / "second", 40)
    gated(first, version_of(space, "demo", first))
    assert model_named(space, "") == "demo"
    mine = version_of(space, "mine", second)
    with pytest.raises(LookupError, match=r"demo was promoted last, and mine, registered after it, was not"):
        model_named(space, "")
    gated(second, mine)
    assert model_named(space, "") == "mine"
    version_of(space, "demo", first, wrong=3)  # a challenger of a model that has a champion is no doubt
    assert model_named(space, "") == "mine"
    assert answering_version(space, "demo").remark == ""
    assert "not gated: never compared" in answering_version(space, "demo", 2).remark
