"""Prediction with and without correction for label shift, with a registered version and real parts."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from corpus_layouts import labels, table, vectors

from mer.emotions import MER_EMOTIONS
from mer.errors import ConfigError
from mer.examples import Examples
from mer.features.dataset import table_of
from mer.features.extract import build_extractor, extract_clips
from mer.fusion.config import FusionConfig
from mer.fusion.fit import fit_fusion, predict_fusion
from mer.fusion.fitted import FittedFusion, save_fusion
from mer.posteriors import Posteriors
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.recipes import Recipe
from tasks.data.features import catalogued_clips
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.serve.prediction import PRIORS_GIVEN, PredictionRequest, answer, predict_files
from tasks.stage.workspace import Workspace, workspace

EMOTIONS = ("angry", "happy", "sad")
TRAINING, TARGET = {"angry": 150, "happy": 100, "sad": 50}, {"angry": 20, "happy": 80, "sad": 200}
OPTIONS = {"resamples": 200, "permutations": 199}


def recipe() -> Recipe:
    streams = {"visual": {"features": {"modality": "visual", "source": "files:clip-UTT"}}}
    return Recipe.model_validate(
        {"name": "shifted", "emotions": EMOTIONS, "label_shift": {"mode": "report", **OPTIONS}, **streams}
    )


def clips(counts: dict[str, int], prefix: str) -> dict[str, str]:
    """Name -> emotion."""
    emotions = [emotion for emotion, count in counts.items() for _ in range(count)]
    return {f"{prefix}{number:03d}": emotion for number, emotion in enumerate(emotions)}


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A corpus of vectors, three classes that overlap, and a version that knows its out-of-fold predictions."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    made, root = workspace(), tmp_path / "corpus"
    train, asked = clips(TRAINING, "t"), clips(TARGET, "x")
    asked |= {name.replace("t", "y"): emotion for name, emotion in train.items()}
    labels(
        root,
        "track1_label_6way.npz",
        train={name: {"emo": emotion} for name, emotion in train.items()},
        test1={name: {"emo": "neutral"} for name in asked},
    )
    vectors(root, "clip-UTT", *train)
    rng = np.random.default_rng(0)
    for name, emotion in (train | asked).items():
        place = 2.2 * np.eye(4)[EMOTIONS.index(emotion)] + rng.normal(size=4)
        np.save(root / f"features/clip-UTT/{name}.npy", place.astype(np.float32))
    listing = list_corpus.fn(str(root), "corpus", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("corpus", listing.fresh, False))
    register(made, tmp_path / "package", train)
    table(tmp_path, "shifted.csv", "name\n" + "\n".join(clips(TARGET, "x")) + "\n")
    table(tmp_path, "alike.csv", "name\n" + "\n".join(name for name in asked if name[0] == "y") + "\n")
    table(tmp_path, "few.csv", "name\nx000\nx001\n")
    return made


def register(space: Workspace, folder: Path, train: dict[str, str]) -> None:
    rows = [row for row in space.catalogue.clips("corpus") if row.name in train]
    ids = [row.name for row in rows]
    extractor = build_extractor(recipe().streams["visual"].features, space.weights)
    own = table_of(tuple(ids), extract_clips(extractor, catalogued_clips(space, "corpus", ids)))
    examples = Examples(
        tuple(ids),
        np.array([EMOTIONS.index(str(row.emotion)) for row in rows]),
        np.full(len(rows), np.nan, dtype=np.float32),
        (None,) * len(rows),
        np.arange(len(rows)) % 2,
        np.ones(len(rows), dtype=np.float32),
    )

    def fitted(mask: np.ndarray) -> FittedFusion:
        config = FusionConfig(epochs=30)
        return fit_fusion({"visual": own}, examples, mask, np.zeros(len(rows), dtype=bool), EMOTIONS, config)

    parts = []
    for fold in (0, 1):
        predicted = predict_fusion(fitted(examples.fold != fold), {"visual": own})
        parts.append(predicted.restricted([ids[row] for row in np.flatnonzero(examples.fold == fold)]))
    ModelPackage(recipe=recipe(), system="fused").write(folder)
    (folder / FUSION_FOLDER).mkdir()
    save_fusion(folder / FUSION_FOLDER, fitted(np.ones(len(rows), dtype=bool)))
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    model = space.artifacts.commit("model", "0" * 64, files, meta={})
    content = {"out_of_fold.parquet": Posteriors.joined(parts).to_parquet()}
    evaluation = space.artifacts.commit("evaluation", "1" * 64, content, meta={})
    snapshot = space.catalogue.snapshot("corpus", space.catalogue.clips("corpus"))
    for number, evaluated in enumerate((evaluation, model)):  # the second has no out-of-fold predictions
        space.catalogue.add_model_version(
            "shifted",
            model,
            evaluation=evaluated,
            snapshot=snapshot.id,
            metrics={},
            idempotency_key=str(number),
        )


def predicted(tmp_path: Path, candidates: str, mode: str = "", version: int = 1) -> tuple[str, list[str]]:
    """The report's line and the answers in order."""
    out = tmp_path / "out.csv"
    report = predict_files(
        PredictionRequest(
            [], str(out), "shifted", version, candidates=str(tmp_path / candidates), label_shift=mode
        )
    )
    assert report.summary.splitlines()[:-1] == list(filter(None, (report.flags, report.label_shift)))
    with out.open(encoding="utf-8") as file:
        return report.label_shift, [row["discrete"] for row in csv.DictReader(file)]


@pytest.mark.slow
def test_answers_change_only_where_that_is_asked_for_and_priors_differ(
    space: Workspace, tmp_path: Path
) -> None:
    line, plain = predicted(tmp_path, "shifted.csv", "off")
    assert line == "" and not list(tmp_path.glob("out.label_shift.*"))
    line, reported = predicted(tmp_path, "shifted.csv")
    assert reported == plain and "(shift); not corrected" in line
    summary = json.loads((tmp_path / "out.label_shift.json").read_text(encoding="utf-8"))
    line, corrected = predicted(tmp_path, "shifted.csv", "correct-if-shifted")
    changed = sum(one != other for one, other in zip(plain, corrected, strict=True))
    assert f"corrected: {changed} of 300 answers changed" in line and changed == summary["changed"] > 5
    truth = list(clips(TARGET, "x").values())
    right = [sum(a == b for a, b in zip(answers, truth, strict=True)) for answers in (plain, corrected)]
    assert right[1] > right[0] + 5
    assert Counter(corrected)["sad"] > Counter(plain)["sad"]
    again = json.loads((tmp_path / "out.label_shift.json").read_text(encoding="utf-8"))
    assert again["corrected"] and not summary["corrected"]
    assert [one["em"] for one in again["classes"]] == [one["em"] for one in summary["classes"]]
    training = {one["emotion"]: one["training_prior"] for one in summary["classes"]}
    assert training == {"angry": 0.5, "happy": pytest.approx(1 / 3), "sad": pytest.approx(1 / 6)}
    assert "Label shift of out.csv" in (tmp_path / "out.label_shift.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_without_shift_answers_stay(space: Workspace, tmp_path: Path) -> None:
    _, plain = predicted(tmp_path, "alike.csv", "off")
    line, asked = predicted(tmp_path, "alike.csv", "correct-if-shifted")
    assert asked == plain and "(no shift); not corrected" in line


@pytest.mark.slow
def test_clips_of_which_nothing_is_read_do_not_shift_the_others(space: Workspace, tmp_path: Path) -> None:
    line, alone = predicted(tmp_path, "shifted.csv", "correct-if-shifted")
    spoilt = [name.replace("t", "y") for name in clips(TRAINING, "t")]
    for name in spoilt:
        np.save(tmp_path / f"corpus/features/clip-UTT/{name}.npy", np.full(4, 1e30, dtype=np.float32))
    table(tmp_path, "both.csv", "name\n" + "\n".join([*clips(TARGET, "x"), *spoilt]) + "\n")
    again, both = predicted(tmp_path, "both.csv", "correct-if-shifted")
    assert both[: len(alone)] == alone and "corrected: " in again
    assert again == line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("candidates", "version", "reason"),
    [("few.csv", 1, "2 target clips: expected at least 100"), ("shifted.csv", 2, "no out-of-fold")],
)
def test_where_nothing_can_be_said_no_summary_is_left(
    space: Workspace, tmp_path: Path, candidates: str, version: int, reason: str
) -> None:
    predicted(tmp_path, "shifted.csv")
    assert (tmp_path / "out.label_shift.html").exists()
    _, plain = predicted(tmp_path, candidates, "off", version)
    line, answers = predicted(tmp_path, candidates, "correct-if-shifted", version)
    assert answers == plain and "not estimated" in line and reason in line
    assert not list(tmp_path.glob("out.label_shift.*"))


def asked(tmp_path: Path, priors: dict[str, float], **options: str | int) -> tuple[str, list[dict[str, str]]]:
    """The report's line and the rows."""
    out = tmp_path / "out.csv"
    candidates = str(tmp_path / "few.csv")
    request = {"paths": [], "model": "shifted", "version": 1, "candidates": candidates, "priors": priors}
    report = predict_files(PredictionRequest(**{**request, "out": str(out), **options}))
    with out.open(encoding="utf-8") as file:
        return report.label_shift, list(csv.DictReader(file))


GIVEN = {"angry": 0.01, "happy": 0.01, "sad": 0.98}


@pytest.mark.slow
def test_given_priors_correct_two_clips_and_are_written_down(space: Workspace, tmp_path: Path) -> None:
    _, plain = asked(tmp_path, {})
    line, rows = asked(tmp_path, GIVEN)
    summary = json.loads((tmp_path / "out.label_shift.json").read_text(encoding="utf-8"))
    assert {one["emotion"]: one["given"] for one in summary["classes"]} == pytest.approx(GIVEN)
    assert (
        summary["corrected"]
        and summary["estimator"] == "given"
        and line.startswith("label shift: priors given: ")
    )
    changed = sum(one["discrete"] != other["discrete"] for one, other in zip(plain, rows, strict=True))
    assert changed == summary["changed"] > 0 and f"{changed} of 2 answers changed" in line
    line, rows = asked(tmp_path, GIVEN, label_shift="report")
    assert [row["discrete"] for row in rows] == [row["discrete"] for row in plain]
    assert f"not corrected: {changed} of 2 answers would change" in line

    answers = answer(PredictionRequest([str(tmp_path / "corpus")], "", "shifted", 1, priors=GIVEN))
    flagged = {row.name for row in answers.rows if PRIORS_GIVEN in row.flags}
    assert flagged == {row.name for row in answers.rows if row.status == "ok"} != set()


@pytest.mark.slow
def test_priors_that_cannot_be_used_are_an_error(space: Workspace, tmp_path: Path) -> None:
    joy = {"angry": 0.5, "joy": 0.5}
    with pytest.raises(ConfigError, match=r"expected the model's classes \(angry, happy, sad\), found joy"):
        asked(tmp_path, joy)
    with pytest.raises(ConfigError, match="version 2 has none: leave --priors out"):
        asked(tmp_path, GIVEN, version=2)
    with pytest.raises(ConfigError, match="other than off with priors"):
        asked(tmp_path, GIVEN, label_shift="off")
    assert not (tmp_path / "out.csv").exists()
