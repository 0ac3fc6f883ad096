"""A corpus of features alone, from folder to a model and a submission, with real parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpus_layouts import labels, table, vectors

from mer.emotions import MER_EMOTIONS
from mer.errors import CorpusError
from mer.examples import Examples
from mer.features.dataset import table_of
from mer.features.extract import build_extractor, extract_clips
from mer.fusion.config import FusionConfig
from mer.fusion.fit import fit_fusion
from mer.fusion.fitted import save_fusion
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.recipes import Recipe
from tasks.data.features import catalogued_clips
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.serve.prediction import predict_files
from tasks.stage.workspace import Workspace, workspace

RECIPE = Recipe.model_validate(
    {"name": "features", "visual": {"features": {"modality": "visual", "source": "files:clip-UTT"}}}
)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def ingest(root: Path, name: str = "corpus") -> None:
    listing = list_corpus.fn(str(root), name, MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn(name, listing.fresh, False))


def register_model(space: Workspace, folder: Path) -> None:
    """A small fusion over the corpus' precomputed features: low numbers are angry, high ones happy."""
    assert RECIPE.visual is not None
    rows = space.catalogue.clips("corpus")
    clips = catalogued_clips(space, "corpus", [row.clip_id for row in rows])
    features = extract_clips(build_extractor(RECIPE.visual.features, space.weights), clips)
    ids = tuple(clip.clip_id for clip in clips)
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
    train = {f"t{number}": {"emo": "angry" if number < 4 else "happy"} for number in range(8)}
    labels(
        root, "track1_label_6way.npz", train=train, test1={"x": {"emo": "neutral"}, "y": {"emo": "neutral"}}
    )
    vectors(root, "clip-UTT", *train)
    for name, value in (("x", 8.0), ("y", 1.0)):
        np.save(root / f"features/clip-UTT/{name}.npy", np.full(4, value, dtype=np.float32))
    ingest(root)
    register_model(space, tmp_path / "package")
    return root


def test_features_alone_lead_to_a_submission(corpus: Path, tmp_path: Path) -> None:
    table(tmp_path, "candidates.csv", "name,discrete\ny,neutral\nx,neutral\n")
    out = tmp_path / "submission.csv"
    report = predict_files.fn([], str(out), "features", 1, candidates=str(tmp_path / "candidates.csv"))
    assert report.predicted == 2
    assert out.read_bytes() == b"name,discrete\ny,angry\nx,happy\n"


def test_a_candidate_that_is_nowhere_leaves_no_file(corpus: Path, tmp_path: Path) -> None:
    table(tmp_path, "candidates.csv", "name\ny\nzz\n")
    out = tmp_path / "submission.csv"
    with pytest.raises(CorpusError, match=r"1 of 2 candidates have no prediction(.|\n)*zz: no media"):
        predict_files.fn([], str(out), "features", 1, candidates=str(tmp_path / "candidates.csv"))
    assert not out.exists()


def test_a_name_in_two_corpora_needs_the_corpus(corpus: Path, tmp_path: Path) -> None:
    vectors(tmp_path / "other", "clip-UTT", "x", "y", "z")
    ingest(tmp_path / "other", "other")
    table(tmp_path, "candidates.csv", "name\nx\n")
    arguments = ([], str(tmp_path / "out.csv"), "features", 1)
    with pytest.raises(CorpusError, match="x is a clip of corpus and another one of other"):
        predict_files.fn(*arguments, candidates=str(tmp_path / "candidates.csv"))
    report = predict_files.fn(*arguments, candidates=str(tmp_path / "candidates.csv"), corpus="other")
    assert report.predicted == 1
