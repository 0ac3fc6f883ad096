"""Augmented variants as cached feature sets, and what the adaptation and the adapted features make of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mer.adaptation.block import Block
from mer.demo import DemoConfig, generate_demo
from mer.emotions import MER_EMOTIONS
from mer.features.augmentation import AugmentedVariant, WaveformAugmentation
from mer.features.dataset import RaggedTable
from mer.features.spec import FeatureSpec
from mer.recipes.loading import parse_recipe
from tasks.data.dataset import labelled_clip_ids, load_partitions, snapshot_dataset
from tasks.data.features import extract_shard, feature_table, frame_table, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.data.streams import speed_features, variant_tables
from tasks.learn.adaptation import adapt_view, embed_adapted
from tasks.stage.references import DatasetRef, FeatureSetRef, PrefixVariants, SnapshotPlan, StreamInput, View
from tasks.stage.workspace import Workspace, workspace

RECIPE = """
name: varied
folds: {count: 2, use_published: false}
acoustic:
  features: {modality: acoustic, source: "wheel:moonshine-tiny"}
  adaptation: {rank: 2, epochs: 2, batch_size: 8}
"""
BLOCK = Block(1, 2)
POOLED = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny")
PREFIX = POOLED.prefix(BLOCK.start)


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = DemoConfig(clips=24, broken=0, seed=3, frames_per_second=5, picture_size=64)
    return generate_demo(tmp_path_factory.mktemp("demo") / "corpus", config)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus_folder: Path) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    listing = list_corpus.fn(str(corpus_folder), "demo", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("demo", listing.fresh, True))
    return workspace()


PARSED = parse_recipe(RECIPE, origin="varied")
STREAM = PARSED.streams["acoustic"]


def spec_of(variant: int = 0, seed: int = 1) -> FeatureSpec:
    augmentation = WaveformAugmentation(noise_probability=1.0)
    return PREFIX.augmented(AugmentedVariant(augmentation=augmentation, variant=variant, seed=seed))


def clip_ids(space: Workspace) -> list[str]:
    return sorted(row.name for row in space.catalogue.clips("demo"))


def extracted(specs: dict[str, FeatureSpec], ids: Sequence[str]) -> dict[str, list[str]]:
    """Extract what is missing; which clips were extracted for which feature."""
    found: dict[str, list[str]] = {name: [] for name in specs}
    for shard in plan_features.fn("demo", specs, ids, 8).shards:
        assert extract_shard.fn("demo", shard).ran
        for one in shard.features:
            found[one.stream] += shard.clip_ids
    return {name: sorted(clips) for name, clips in found.items()}


def features(spec: FeatureSpec, ids: Sequence[str]) -> FeatureSetRef:
    """The feature set, extracted."""
    extracted({"it": spec}, ids)
    return plan_features.fn("demo", {"it": spec}, ids, 8).features["it"]


def frames(space: Workspace, spec: FeatureSpec, ids: Sequence[str]) -> RaggedTable:
    return frame_table(space, features(spec, ids), ids)


def test_variants_are_extracted_once_and_a_new_clip_costs_only_itself(space: Workspace) -> None:
    ids = clip_ids(space)
    specs = {"plain": PREFIX, "first": spec_of(0), "second": spec_of(1)}
    assert extracted(specs, ids[:5]) == {"plain": ids[:5], "first": ids[:5], "second": ids[:5]}
    assert extracted(specs, ids[:5]) == {"plain": [], "first": [], "second": []}
    assert extracted(specs, ids[:6]) == {"plain": ids[5:6], "first": ids[5:6], "second": ids[5:6]}
    drawn_anew = {"plain": PREFIX, "first": spec_of(0, seed=2)}
    assert extracted(drawn_anew, ids[:6]) == {"plain": [], "first": ids[:6]}
    assert extracted(specs, ids[:6]) == {"plain": [], "first": [], "second": []}, "the old seed's are kept"
    plain, *takes = (frames(space, spec, ids[:6]) for spec in (PREFIX, spec_of(0), spec_of(1)))
    for take in takes:
        assert take.present.all() and not np.array_equal(take.values, plain.values)
    assert not np.array_equal(takes[0].values, takes[1].values)


def test_a_take_does_not_depend_on_what_it_was_extracted_with(space: Workspace) -> None:
    ids = clip_ids(space)
    together = frames(space, spec_of(0), ids[:4])
    key = features(spec_of(0), ids[:4]).key
    known = space.catalogue.contents("demo")
    for ref in set(space.catalogue.features_of(key, [known[name] for name in ids[:4]]).values()):
        space.catalogue.forget_shard(ref)
        space.artifacts.discard(ref)
    for one in reversed(ids[:4]):
        assert extracted({"it": spec_of(0)}, [one]) == {"it": [one]}
    np.testing.assert_array_equal(frames(space, spec_of(0), ids[:4]).values, together.values)


def test_frames_of_takes_of_the_sound_are_extracted_apart_and_pooled_speeds_together(
    space: Workspace,
) -> None:
    """Frames of all of them would fill the memory."""
    specs = {"plain": PREFIX, "deeper": PREFIX.prefix(2), "slow": PREFIX.at_speed(0.9), "noisy": spec_of()}
    specs |= {"pooled": POOLED, "pooled slow": POOLED.at_speed(0.9), "pooled fast": POOLED.at_speed(1.1)}
    plan = plan_features.fn("demo", specs, clip_ids(space)[:3], 8)
    assert sorted(sorted(one.stream for one in shard.features) for shard in plan.shards) == [
        ["deeper", "plain", "pooled", "pooled fast", "pooled slow"], ["noisy"], ["slow"],
    ]  # fmt: skip


def test_further_speeds_are_kept_and_a_new_clip_costs_only_itself(space: Workspace) -> None:
    ids, varied = clip_ids(space), STREAM.model_copy(update={"speeds": (0.9, 1.1)})
    specs = {"acoustic": varied.features, **speed_features("acoustic", varied)}
    names = ["acoustic", "acoustic at 0.9", "acoustic at 1.1"]
    assert list(specs) == names
    assert extracted({"acoustic": varied.features}, ids[:1]) == {"acoustic": ids[:1]}
    assert extracted(specs, ids[:2]) == {"acoustic": ids[1:2], names[1]: ids[:2], names[2]: ids[:2]}
    assert extracted(specs, ids[:2]) == {name: [] for name in names}
    sets = plan_features.fn("demo", specs, ids[:2], 8).features
    item = StreamInput(
        "acoustic", "acoustic", varied, sets[names[0]], speeds=(sets[names[1]], sets[names[2]])
    )
    plain, slow, fast = variant_tables(space, item, ids[:2])
    assert plain.values.shape == (2, 7, 576) and plain.present.all()
    np.testing.assert_array_equal(
        slow.values, feature_table(space, features(POOLED.at_speed(0.9), ids[:2]), ids[:2]).values
    )
    for one, other in ((plain, slow), (plain, fast), (slow, fast)):
        assert np.abs(one.values - other.values).max() > 1e-2


def test_only_clips_whose_labels_the_views_see_are_varied(space: Workspace) -> None:
    dataset = snapshot_dataset.fn("demo", SnapshotPlan.of(PARSED))
    examples, partitions = load_partitions(space, dataset)
    fold = partitions["fold0"]
    wanted = [examples.clip_ids[row] for row in np.flatnonzero(fold.train | fold.validation)]
    assert list(labelled_clip_ids(dataset, ["fold0"])) == wanted
    everyone = set(labelled_clip_ids(dataset, dataset.views))
    final = partitions["final"]
    hidden = {examples.clip_ids[row] for row in np.flatnonzero(final.test | (examples.emotion < 0))}
    assert set(wanted) < everyone and hidden and everyone == set(examples.clip_ids) - hidden


@pytest.fixture
def dataset(space: Workspace) -> DatasetRef:
    return snapshot_dataset.fn("demo", SnapshotPlan.of(PARSED))


@pytest.mark.slow
def test_the_adaptation_learns_from_the_variants(space: Workspace, dataset: DatasetRef) -> None:
    """Fails where variants are ignored, where they are no part of the key, and where a plain adapter's key moved."""
    ids = clip_ids(space)
    plain = PrefixVariants(plain=features(PREFIX, ids))
    labelled = labelled_clip_ids(dataset, dataset.views)

    def adapted(takes: PrefixVariants) -> tuple[str, str, bool]:
        done = adapt_view.fn(View(dataset, "fold0"), "acoustic", STREAM, takes, BLOCK)
        tensors = space.artifacts.read(done.ref, "adapter.safetensors")
        return done.ref.key, str(hash(tensors)), done.ran

    def with_variants(*specs: FeatureSpec) -> PrefixVariants:
        return PrefixVariants(plain=plain.plain, augmented=tuple(features(spec, labelled) for spec in specs))

    alone = adapted(plain)
    varied = adapted(with_variants(spec_of(0), spec_of(1)))
    other_seed = adapted(with_variants(spec_of(0, seed=2), spec_of(1, seed=2)))
    for place in (0, 1):
        assert len({one[place] for one in (alone, varied, other_seed)}) == 3
    assert adapted(plain) == (*alone[:2], False)
    assert adapted(with_variants(spec_of(0), spec_of(1))) == (*varied[:2], False)


@pytest.mark.slow
def test_the_adapted_state_is_averaged_over_further_speeds(space: Workspace, dataset: DatasetRef) -> None:
    ids = clip_ids(space)
    plain, slow, fast = (features(spec, ids) for spec in (PREFIX, PREFIX.at_speed(0.9), PREFIX.at_speed(1.1)))
    view = View(dataset, "fold0")
    adapter = adapt_view.fn(view, "acoustic", STREAM, PrefixVariants(plain=plain), BLOCK).ref

    def values(takes: PrefixVariants) -> np.ndarray:
        embedded = embed_adapted.fn(view, "acoustic", STREAM, takes, adapter, 8)
        return np.asarray(feature_table(space, embedded, ids).values)

    each = [values(PrefixVariants(plain=one)) for one in (plain, slow, fast)]
    averaged = values(PrefixVariants(plain=plain, speeds=(slow, fast)))
    np.testing.assert_allclose(averaged, np.mean(each, axis=0), atol=1e-5)
    assert np.abs(averaged - each[0]).max() > 1e-2
