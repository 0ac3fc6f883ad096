"""Two registered versions side by side: which versions a text names, and the labels and clips they are compared on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpus_layouts import labels, vectors

from mer.emotions import MER_EMOTIONS
from mer.errors import ConfigError
from mer.posteriors import Posteriors
from mer.predictor.package import RECORD, ModelPackage
from mer.recipes import Recipe
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.serve.comparison import compare_versions, version_named
from tasks.serve.evaluation_files import HOLDOUT, OUT_OF_FOLD
from tasks.stage.workspace import Workspace, workspace

CLIPS = 12


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A catalogue with a corpus of features, whose clips are angry and happy in turn."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    root = tmp_path / "corpus"
    train = {f"t{number:02d}": {"emo": ("angry", "happy")[number % 2]} for number in range(CLIPS)}
    labels(root, "track1_label_6way.npz", train=train)
    vectors(root, "clip-UTT", *train)
    listing = list_corpus.fn(str(root), "corpus", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("corpus", listing.fresh, False))
    return workspace()


def register(
    space: Workspace,
    name: str,
    wrong: int,
    emotions: tuple[str, ...] = MER_EMOTIONS,
    *,
    by_content: bool = False,
) -> int:
    """A version that is wrong on the first `wrong` clips; its last two clips are the holdout. `by_content`: as of 0.1.0."""
    source = {"features": {"modality": "visual", "source": "files:clip-UTT"}}
    recipe = Recipe.model_validate({"name": name, "emotions": emotions, "visual": source})
    rows = sorted(space.catalogue.clips("corpus"), key=lambda row: row.name)
    truth = np.array([emotions.index(str(row.emotion)) for row in rows])
    said = np.where(np.arange(len(rows)) < wrong, emotions.index("sad"), truth)
    logits = np.eye(len(emotions), dtype=np.float32)[said]
    ids, unknown = (
        tuple(row.content if by_content else row.name for row in rows),
        np.zeros(len(rows), np.float32),
    )
    parts = {
        OUT_OF_FOLD: Posteriors(ids[:-2], logits[:-2], unknown[:-2]),
        HOLDOUT: Posteriors(ids[-2:], logits[-2:], unknown[-2:]),
    }
    key = f"{name}-{wrong}-{len(emotions)}"
    evaluation = space.artifacts.commit(
        "evaluation", key, {file: own.to_parquet() for file, own in parts.items()}
    )
    record = ModelPackage(recipe=recipe, system="fused").model_dump_json().encode()
    package = space.artifacts.commit("model", key, {RECORD: record})
    snapshot = space.catalogue.snapshot("corpus", rows)
    return space.catalogue.add_model_version(
        name, package, evaluation=evaluation, snapshot=snapshot.id, metrics={}, idempotency_key=key
    )


@pytest.mark.parametrize("by_content", [False, True])
def test_versions_are_compared_on_all_clips_neither_was_trained_on(
    space: Workspace, by_content: bool
) -> None:
    register(space, "one", wrong=2, by_content=by_content)
    register(space, "one", wrong=6)
    first, second = (version_named(space, text, model="one") for text in ("one:1", "2"))
    found = compare_versions(space, first, second)
    accuracy = next(row for row in found.scores if row.name == "accuracy")
    assert found.clips == CLIPS, "out of fold and holdout"
    assert (accuracy.first, accuracy.second) == (pytest.approx(10 / 12), pytest.approx(6 / 12))
    assert accuracy.difference == pytest.approx(4 / 12)


def test_a_version_that_is_not_there_is_named(space: Workspace) -> None:
    register(space, "one", wrong=0)
    with pytest.raises(
        LookupError, match=r"no champion of a model 'one', .*\(1\) was promoted; name one, e.g. version 1,"
    ):
        version_named(space, "one", model="one")
    with pytest.raises(LookupError, match=r"no version 3 of a model 'one': expected 1$"):
        version_named(space, "3", model="one")
    with pytest.raises(LookupError, match=r"no champion of a model 'two': expected one of one$"):
        version_named(space, "two", model="one")
    with pytest.raises(LookupError, match="demo:3"):
        version_named(space, "one:latest", model="one")


def test_models_of_other_classes_are_not_compared(space: Workspace) -> None:
    register(space, "one", wrong=0)
    register(space, "two", wrong=0, emotions=("sad", "angry", "happy"))
    first, second = (version_named(space, f"{name}:1", model="one") for name in ("one", "two"))
    with pytest.raises(ConfigError, match="same classes"):
        compare_versions(space, first, second)


def test_a_version_is_not_compared_with_itself(space: Workspace) -> None:
    register(space, "one", wrong=0)
    first = version_named(space, "one:1", model="one")
    with pytest.raises(ConfigError, match="found one version 1 twice"):
        compare_versions(space, first, first)
