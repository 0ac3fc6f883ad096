"""The adaptation's stage on a committed prefix: held-out speakers choose, and a broken prefix registers nothing."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catalogued import catalogue_clips

from mer.adaptation.block import Block
from mer.errors import DivergedError
from mer.features.clip_feature import ClipFeature
from mer.recipes import Recipe, Stream
from mer.validation import magnitude
from tasks.data.dataset import _write_parquet, load_view
from tasks.data.features import feature_table, frame_table
from tasks.data.shard_commit import commit_shard
from tasks.learn.adaptation import adapt_view, embed_adapted, open_adapter
from tasks.learn.cross_fitting import open_cross_fitted
from tasks.stage.references import DatasetRef, FeatureSetRef, PrefixVariants, View
from tasks.stage.run import StageResult
from tasks.stage.workspace import Workspace, workspace

CLIPS, WIDTH = 48, 288
BLOCK = Block(2, 3)
RECIPE = Recipe.model_validate(
    {
        "name": "made",
        "emotions": ["angry", "happy", "sad"],
        "acoustic": {
            "features": {
                "modality": "acoustic", "source": "wheel:moonshine-tiny", "layers": "all", "pooling": "mean_std",
            },
            "adaptation": {"rank": 4, "epochs": 12, "batch_size": 6, "patience": 2, "head_learning_rate": 1e-2},
        },
        "folds": {"use_published": True},
    }
)  # fmt: skip
STREAM = RECIPE.streams["acoustic"]


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def dataset_of(space: Workspace, labels: np.ndarray) -> DatasetRef:
    ids = [f"{row:064x}" for row in range(CLIPS)]
    columns = {
        "name": ids,
        "content": ids,
        "emotion": labels.tolist(),
        "valence": [float("nan")] * CLIPS,
        "speaker": [f"s{row % 12}" for row in range(CLIPS)],
        "fold": (np.arange(CLIPS) % 12 // 4).tolist(),
        "holdout": [False] * CLIPS,
        "canary": [False] * CLIPS,
        "part": [None] * CLIPS,
    }
    catalogue_clips(space, "made", ids)
    buffer = io.BytesIO()
    _write_parquet(columns, buffer)
    ref = space.artifacts.commit("dataset", "d" * 64, {"examples.parquet": buffer.getvalue()})
    views = ("fold0", "fold1", "fold2", "final")
    return DatasetRef(ref, "made", "made", views, CLIPS, CLIPS, 0, 0, RECIPE.emotions, RECIPE.folds)


def prefix_of(space: Workspace, labels: np.ndarray, key: str, broken: tuple[int, ...] = ()) -> FeatureSetRef:
    """Frames whose mean tells the class, committed as a shard; those of the clips `broken` overflow in the fit."""
    rng = np.random.default_rng(1)
    rows = []
    for row in range(CLIPS):
        frames = rng.normal(size=(int(rng.integers(6, 14)), 1, WIDTH)).astype(np.float32)
        frames[:, 0, int(labels[row])] += 4.0
        if row in broken:
            frames[3, 0, 5] = 3e38  # finite, as all that is stored; its square is not
        rows.append(ClipFeature(values=frames, present=True))
    commit_shard(space, key, [f"{row:064x}" for row in range(CLIPS)], lambda: rows)
    return FeatureSetRef(stream="acoustic", key=key, spec=STREAM.features, corpus="made")


def adapted(dataset: DatasetRef, prefix: FeatureSetRef) -> StageResult:
    return adapt_view.fn(View(dataset, "fold0"), "acoustic", STREAM, PrefixVariants(prefix), BLOCK)


@pytest.mark.slow
def test_held_out_speakers_stop_the_fit_and_the_adapter_is_read_again(space: Workspace) -> None:
    labels = np.random.default_rng(0).integers(0, 3, CLIPS)
    dataset, prefix = dataset_of(space, labels), prefix_of(space, labels, "sound")
    examples, partition = load_view(space, View(dataset, "fold0"))
    speaker = np.array(examples.speaker)
    assert partition.validation.any()
    assert not set(speaker[partition.validation]) & set(speaker[partition.train | partition.test])
    done = adapted(dataset, prefix)
    assert done.ran and len(space.catalogue.artifacts("adapter")) == 1
    assert not adapted(dataset, prefix).ran
    block = open_adapter(space, STREAM.features, done.ref)
    assert block.class_count == 3
    view, variants = View(dataset, "fold0"), PrefixVariants(prefix)
    embedded = embed_adapted.fn(view, "acoustic", STREAM, variants, done.ref, 20)
    table = feature_table(space, embedded, examples.clip_ids)
    assert table.present.all() and np.isfinite(table.values).all()
    # the fit ended for want of a better score, not at its last epoch
    assert int(done.meta["best_epoch"]) + 2 < 11


@pytest.mark.slow
def test_a_stream_read_as_posteriors_is_cross_fitted_over_all_labelled_speakers(space: Workspace) -> None:
    """Fails where a clip is given posteriors of an adapter that learnt from it, or a new clip those of one fold."""
    labels = np.random.default_rng(0).integers(0, 3, CLIPS)
    dataset, prefix = dataset_of(space, labels), prefix_of(space, labels, "sound")
    view, variants = View(dataset, "fold0"), PrefixVariants(prefix)
    adaptation = {"rank": 2, "epochs": 3, "batch_size": 6, "head_learning_rate": 1e-2}
    options = STREAM.model_dump() | {"adaptation": adaptation, "adapted_posteriors": {"folds": 2}}
    stream = type(STREAM).model_validate(options)
    done = adapt_view.fn(view, "acoustic", stream, variants, BLOCK)
    assert done.ran and done.meta["fits"] == 2 and float(done.meta["validation_waf"]) > 0.8
    assert not adapt_view.fn(view, "acoustic", stream, variants, BLOCK).ran
    examples, partition = load_view(space, view)
    fitted = open_cross_fitted(space, stream.features, done.ref)
    assert set(fitted.fold_of) == set(np.array(examples.clip_ids)[partition.train | partition.validation])
    folds = {who: {fitted.fold_of.get(name) for name, of in zip(examples.clip_ids, examples.speaker, strict=True) if of == who}
             for who in examples.speaker}  # fmt: skip
    assert all(len(of_one) == 1 for of_one in folds.values()), "whole speakers"
    embedded = embed_adapted.fn(view, "acoustic", stream, variants, done.ref, 20)
    table = feature_table(space, embedded, examples.clip_ids)
    assert table.present.all() and table.values.shape == (CLIPS, 3)
    frames = frame_table(space, prefix, examples.clip_ids)
    expected = {
        fold: replace(fitted, fits=fits, folds=len(fits), fold_of={}).log_posteriors([frames], []).values
        for fold, fits in ((0, fitted.fits[:1]), (1, fitted.fits[1:]), (None, fitted.fits))
    }
    for row, name in enumerate(examples.clip_ids):
        np.testing.assert_allclose(table.values[row], expected[fitted.fold_of.get(name)][row], atol=1e-4)
    assert not embed_missing(space, view, stream, done, variants)


def embed_missing(
    space: Workspace, view: View, stream: Stream, adapter: StageResult, variants: PrefixVariants
) -> bool:
    """Whether anything is computed for features that are there."""
    before = len(space.catalogue.artifacts("features"))
    embed_adapted.fn(view, "acoustic", stream, variants, adapter.ref, 20)
    return len(space.catalogue.artifacts("features")) > before


def test_a_broken_prefix_ends_with_the_typed_error_and_registers_nothing(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.random.default_rng(0).integers(0, 3, CLIPS)
    dataset = dataset_of(space, labels)
    train = np.flatnonzero(load_view(space, View(dataset, "fold0"))[1].train)
    with monkeypatch.context() as patched:  # shards of 0.3.0 may hold what is masked now
        patched.setattr(magnitude, "MAX_MAGNITUDE", np.inf)
        poisoned = prefix_of(space, labels, "poisoned", tuple(int(row) for row in train[::2]))
    with pytest.raises(DivergedError, match=r"epoch 0.*4 steps of this kind"):
        adapted(dataset, poisoned)
    assert not space.catalogue.artifacts("adapter")
    manifests = (space.settings.home / "objects" / "manifests").rglob("*.json")
    assert {path.parent.name for path in manifests} == {"dataset", "features"}
    with pytest.raises(DivergedError):  # and no checkpoint of the broken fit makes the next one pass
        adapted(dataset, poisoned)
    sound = prefix_of(space, labels, "sound")
    assert adapted(dataset, sound).ran
