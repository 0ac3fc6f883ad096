"""A corpus of features alone, from folder to a model and a submission, with real parts."""

from __future__ import annotations

import csv
import os
import wave
from pathlib import Path

import numpy as np
import pytest
from corpus_layouts import labels, table, vectors

from mer.emotions import MER_EMOTIONS
from mer.errors import ConfigError, CorpusError
from mer.examples import Examples
from mer.features.dataset import table_of
from mer.features.extract import build_extractor, extract_clips
from mer.fusion.config import FusionConfig
from mer.fusion.fit import fit_fusion
from mer.fusion.fitted import save_fusion
from mer.prediction_files import read_predictions
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.recipes import Recipe
from tasks.data.features import catalogued_clips
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.serve.prediction import PredictionRequest, predict_files
from tasks.stage.workspace import Workspace, workspace

RECIPE = Recipe.model_validate(
    {"name": "features", "visual": {"features": {"modality": "visual", "source": "files:clip-UTT"}}}
)
TRAIN = {f"t{number}": {"emo": "angry" if number < 4 else "happy"} for number in range(8)}


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def ingest(root: Path, name: str = "corpus") -> None:
    listing = list_corpus.fn(str(root), name, MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn(name, listing.fresh, False))


def register_model(space: Workspace, folder: Path) -> None:
    """A small fusion over the corpus' precomputed features: low numbers are angry, high ones happy."""
    rows = space.catalogue.clips("corpus")
    clips = catalogued_clips(space, "corpus", [row.name for row in rows])
    features = extract_clips(build_extractor(RECIPE.streams["visual"].features, space.weights), clips)
    ids = tuple(clip.name for clip in clips)
    labelled = np.array([row.emotion is not None for row in rows])
    examples = Examples(
        clip_ids=ids,
        emotion=np.array([MER_EMOTIONS.index(row.emotion) if row.emotion else -1 for row in rows]),
        valence=np.full(len(rows), np.nan, dtype=np.float32),
        speaker=(None,) * len(rows),
        fold=np.zeros(len(rows), dtype=np.int64),
        weight=np.ones(len(rows), dtype=np.float32),
    )
    fitted = fit_fusion(
        {"visual": table_of(ids, features)}, examples, labelled, np.zeros(len(rows), dtype=bool), MER_EMOTIONS,
        FusionConfig(epochs=60),
    )  # fmt: skip
    ModelPackage(recipe=RECIPE, system="fused").write(folder)
    (folder / FUSION_FOLDER).mkdir()
    save_fusion(folder / FUSION_FOLDER, fitted)
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    ref = space.artifacts.commit("model", "0" * 64, files, meta={})
    space.catalogue.add_model_version("features", ref, evaluation=ref, metrics={}, idempotency_key="only")


@pytest.fixture
def corpus(tmp_path: Path, space: Workspace) -> Path:
    root = tmp_path / "corpus"
    labels(
        root, "track1_label_6way.npz", train=TRAIN, test1={"x": {"emo": "neutral"}, "y": {"emo": "neutral"}}
    )
    vectors(root, "clip-UTT", *TRAIN)
    for name, value in (("x", 8.0), ("y", 1.0)):
        np.save(root / f"features/clip-UTT/{name}.npy", np.full(4, value, dtype=np.float32))
    ingest(root)
    register_model(space, tmp_path / "package")
    return root


def test_features_alone_lead_to_a_submission(corpus: Path, tmp_path: Path) -> None:
    table(tmp_path, "candidates.csv", "name,discrete\ny,neutral\nx,neutral\n")
    out = tmp_path / "submission.csv"
    report = predict_files(
        PredictionRequest([], str(out), "features", 1, candidates=str(tmp_path / "candidates.csv"))
    )
    assert report.predicted == 2
    assert out.read_bytes() == b"name,discrete\ny,angry\nx,happy\n"


def test_equal_clips_are_both_answered(corpus: Path, tmp_path: Path) -> None:
    """Under other names, in a submission and of a folder of media: each by its own features."""
    for name, value in (("x", 8.0), ("y", 1.0)):
        np.save(corpus / f"features/clip-UTT/{name}{name}.npy", np.full(4, value, dtype=np.float32))
    for name in ("x", "y", "xx", "yy"):
        write_sound(corpus / f"audio/{name}.wav", 1)
    ingest(corpus)
    table(tmp_path, "candidates.csv", "name,discrete\ny,neutral\nyy,neutral\nxx,neutral\n")
    out = tmp_path / "answers.csv"
    report = predict_files(
        PredictionRequest([], str(out), "features", 1, candidates=str(tmp_path / "candidates.csv"))
    )
    assert report.predicted == 3
    assert out.read_bytes() == b"name,discrete\ny,angry\nyy,angry\nxx,happy\n"
    report = predict_files(PredictionRequest([str(corpus / "audio")], str(out), "features", 1))
    assert report.predicted == 4
    answers = [[row.name, row.discrete] for row in read_predictions(out)]
    assert answers == [["x", "happy"], ["xx", "happy"], ["y", "angry"], ["yy", "angry"]]


def test_files_of_one_name_are_told_apart_and_make_no_submission(corpus: Path, tmp_path: Path) -> None:
    for number, place in enumerate(("a/x.wav", "b/x.wav", "b/z.wav")):
        write_sound(tmp_path / "media" / place, number)
        vectors((tmp_path / "media" / place).parent, "clip-UTT", Path(place).stem)
    out, asked = tmp_path / "answers.csv", [str(tmp_path / "media")]
    assert predict_files(PredictionRequest(asked, str(out), "features", 1)).predicted == 3
    names = [line.split(",")[0] for line in out.read_text(encoding="utf-8").splitlines()[1:]]
    assert names == ["a__x", "b__x", "z"]
    table(tmp_path, "candidates.csv", "name\nx\n")
    out.unlink()
    with pytest.raises(CorpusError, match=r"candidate x: expected one file of this name, found .*a/x.wav"):
        predict_files(
            PredictionRequest(asked, str(out), "features", 1, candidates=str(tmp_path / "candidates.csv"))
        )
    assert not out.exists()


def test_a_candidate_that_is_nowhere_leaves_no_file(corpus: Path, tmp_path: Path) -> None:
    table(tmp_path, "candidates.csv", "name\ny\nzz\n")
    out = tmp_path / "submission.csv"
    with pytest.raises(CorpusError, match=r"1 of 2 candidates have no prediction(.|\n)*zz: no media"):
        predict_files(
            PredictionRequest([], str(out), "features", 1, candidates=str(tmp_path / "candidates.csv"))
        )
    assert not out.exists()


def test_a_name_in_two_corpora_needs_the_corpus(corpus: Path, tmp_path: Path) -> None:
    vectors(tmp_path / "other", "clip-UTT", "x", "y", "z")
    ingest(tmp_path / "other", "other")
    table(tmp_path, "candidates.csv", "name\nx\n")
    arguments = ([], str(tmp_path / "out.csv"), "features", 1)
    with pytest.raises(CorpusError, match="x is a clip of corpus and another one of other"):
        predict_files(PredictionRequest(*arguments, candidates=str(tmp_path / "candidates.csv")))
    report = predict_files(
        PredictionRequest(*arguments, candidates=str(tmp_path / "candidates.csv"), corpus="other")
    )
    assert report.predicted == 1


def test_two_names_of_equal_content_are_two_lines(corpus: Path, tmp_path: Path) -> None:
    """One of training (whose label is not the answer), two of the test."""
    names = ("x", "y", "twin")
    labels(corpus, "track1_label_6way.npz", train=TRAIN, test1={name: {"emo": "neutral"} for name in names})
    np.save(corpus / "features/clip-UTT/twin.npy", np.full(4, 1.0, dtype=np.float32))
    np.save(corpus / "features/clip-UTT/t7.npy", np.full(4, 1.0, dtype=np.float32))
    ingest(corpus)
    table(tmp_path, "candidates.csv", "name,discrete\ntwin,neutral\nx,neutral\nt7,neutral\ny,neutral\n")
    out = tmp_path / "submission.csv"
    report = predict_files(
        PredictionRequest([], str(out), "features", 1, candidates=str(tmp_path / "candidates.csv"))
    )
    assert report.predicted == 4
    assert out.read_bytes() == b"name,discrete\ntwin,angry\nx,happy\nt7,angry\ny,angry\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"one.wav": 1, "two.wav": 1}, [("one", "angry"), ("two", "happy")]),
        ({"a/same.wav": 1, "b/same.wav": 2}, None),
        ({"a/same.wav": 1, "b/same.wav": 1}, None),
    ],
    ids=["equal files", "equal names", "equal files of equal names"],
)
def test_every_file_of_a_folder_is_answered(
    corpus: Path, tmp_path: Path, files: dict[str, int], expected: list[tuple[str, str]] | None
) -> None:
    """Equal in content, in name or in both: what is computed once is said of every file. Features are files of these names."""
    folder = tmp_path / "new"
    for name, value in (("one", 1.0), ("two", 8.0)):
        path = folder / "features" / "clip-UTT" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full(4, value, dtype=np.float32))
    for name, seed in files.items():
        write_sound(folder / name, seed)
    out = tmp_path / "out.csv"
    report = predict_files(PredictionRequest([str(folder)], str(out), "features", 1))
    answers = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert report.predicted == len(answers) == 2 and not report.unusable
    if expected is not None:
        assert [(answer["name"], answer["discrete"]) for answer in answers] == expected


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_files_that_cannot_be_read_have_a_row_with_their_status(
    corpus: Path, tmp_path: Path, suffix: str
) -> None:
    folder = tmp_path / "new"
    vectors(folder, "clip-UTT", "b")
    write_sound(folder / "b.wav", 1)
    (folder / "a.mp4").touch()
    (folder / "c.mp4").write_text("a note\n" * 40, encoding="utf-8")
    (folder / "b.mp4").touch()
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9.wav")).touch()
    out = tmp_path / f"out{suffix}"
    report = predict_files(PredictionRequest([str(folder / "b.wav"), str(folder)], str(out), "features", 1))
    rows = read_predictions(out)
    assert [(row.name, row.status) for row in rows] == [
        ("b.wav", "ok"), ("a", "empty_file"), ("b.mp4", "empty_file"), ("c", "not_media"), ("caf\\udce9", "empty_file")
    ]  # fmt: skip
    assert (report.predicted, len(report.unusable)) == (1, 4)
    assert all((row.model, row.version) == ("features", 1) for row in rows)
    assert rows[0].path == str(folder / "b.wav") and rows[0].modalities == ("visual",)
    assert rows[0].valence is None, "the model has learnt none"
    assert list(rows[0].probabilities) == list(MER_EMOTIONS)


def test_nothing_that_can_be_read_is_a_table_of_reasons(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    out = tmp_path / "out.csv"
    report = predict_files(PredictionRequest([str(tmp_path / "a.mp4")], str(out), "features", 1))
    assert report.predicted == 0 and [row.status for row in read_predictions(out)] == ["empty_file"]
    assert "p_happy" in out.read_text(encoding="utf-8")


def test_the_file_to_write_is_checked_before_anything_is_read(space: Workspace, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, candidates, message in (
        ("out.xlsx", "", r"expected a file named \*.csv, \*.json or \*.jsonl, found 'out.xlsx'"),
        ("out.json", "candidates.csv", r"submission: expected a file named \*.csv, found 'out.json'"),
        ("folder.csv", "candidates.csv", "predictions: expected a file to write, found the folder"),
    ):
        request = PredictionRequest(["x"], str(tmp_path / name), "no such model", candidates=candidates)
        with pytest.raises(ConfigError, match=message):
            predict_files(request)


def write_sound(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(16_000)
        noise = np.random.default_rng(seed).normal(0, 3000, 8000)
        stream.writeframes(noise.astype(np.int16).tobytes())
