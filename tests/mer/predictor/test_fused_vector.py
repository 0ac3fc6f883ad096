"""What a fusion reads of a stream: every combination of what is learnt and kept, against a list of parts; frames likewise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from mer.errors import ConfigError
from mer.features.dataset import FeatureTable, RaggedTable
from mer.predictor.streams import frame_spec, framewise, fused_vector, reads_frozen, states_read
from mer.recipes import Recipe, Stream
from mer.recipes.stream import StreamAlignment

CLIPS = ("a", "b", "c", "d")
WIDTHS = {"frozen": 3, "adapted": 2, "aligned": 4}
ABSENT = {"frozen": 1, "adapted": 2, "aligned": 3}
"""The clip that each table lacks."""
LAYERED = {"layers": "all", "pooling": "mean_std"}


def stream(modality: str = "acoustic", features: dict[str, Any] | None = None, **options: Any) -> Stream:
    source = {"source": "a-folder", **(features or {})}
    made = Recipe.model_validate(
        {
            "name": "x",
            "streams": {
                "s": {"modality": modality, "features": source, **options},
                "anchor": {"modality": "acoustic", "features": {"source": "files:voice"}},
            },
        }
    )
    return made.streams["s"]


def table(part: str) -> FeatureTable:
    rng = np.random.default_rng(len(part))
    present = np.arange(len(CLIPS)) != ABSENT[part]
    values = rng.normal(size=(len(CLIPS), WIDTHS[part])).astype(np.float32)
    return FeatureTable(CLIPS, np.where(present[:, None], values, 0), present)


def parts_read(options: Stream, *, adapted: bool, aligned: bool) -> list[str]:
    """By the description of the options: the aligned vector, the adapted state, the frozen features."""
    unaligned = []
    if adapted and options.keep_adapted:
        unaligned.append("adapted")
    if not unaligned or options.keep_frozen:
        unaligned.append("frozen")
    if not (aligned and options.keep_aligned):
        return unaligned
    return ["aligned", *(unaligned if options.keep_unaligned else [])]


def combinations() -> Iterator[tuple[Stream, bool, bool]]:
    """(options, whether there is an adapter, whether there is an alignment) of all that is allowed."""
    for adapted, aligned, frozen, keep, keep_aligned, unaligned in product((True, False), repeat=6):
        if not (frozen or keep):
            continue
        options: dict[str, Any] = {"keep_frozen": frozen, "keep_adapted": keep, "keep_aligned": keep_aligned}
        options |= {"adaptation": {}} if adapted else {}
        options |= {"alignment": {"to": "anchor"}} if aligned else {}
        yield stream(features=LAYERED, keep_unaligned=unaligned, **options), adapted, aligned


@pytest.mark.parametrize(("options", "adapted", "aligned"), list(combinations()))
def test_a_vector_is_its_parts_side_by_side(options: Stream, adapted: bool, aligned: bool) -> None:
    wanted = parts_read(options, adapted=adapted, aligned=aligned)
    tables = {part: table(part) for part in WIDTHS}
    read = {
        "adapted": tables["adapted"] if adapted and options.keep_adapted else None,
        "aligned": tables["aligned"] if aligned and options.keep_aligned else None,
    }
    needed = reads_frozen(options, adapted=read["adapted"] is not None, aligned=read["aligned"] is not None)
    assert needed == ("frozen" in wanted)
    found = fused_vector(options, tables["frozen"] if needed else None, read["adapted"], read["aligned"])
    naive = [
        [value for part in wanted for value in tables[part].values[row].tolist()] for row in range(len(CLIPS))
    ]
    np.testing.assert_array_equal(found.values, np.array(naive, dtype=np.float32))
    gone = {ABSENT[part] for part in wanted}
    assert found.present.tolist() == [row not in gone for row in range(len(CLIPS))]
    assert found.clip_ids == CLIPS


def test_every_kind_of_vector_is_met() -> None:
    seen = {tuple(parts_read(options, adapted=a, aligned=b)) for options, a, b in combinations()}
    assert seen == {
        ("frozen",), ("adapted",), ("adapted", "frozen"), ("aligned",), ("aligned", "frozen"), ("aligned", "adapted"),
        ("aligned", "adapted", "frozen"),
    }  # fmt: skip


def test_pixels_are_no_vector() -> None:
    crops = stream("visual", {"source": "crops:"})
    pixels = FeatureTable(
        CLIPS, np.zeros((len(CLIPS), 2, 4, 4, 3), dtype=np.uint8), np.ones(len(CLIPS), dtype=bool)
    )
    with pytest.raises(ConfigError, match="found face crops; give the stream an `alignment`"):
        fused_vector(crops, pixels, None, None)
    aligned = table("aligned")
    assert fused_vector(crops, None, None, aligned) is aligned


@pytest.mark.parametrize("modality", ["acoustic", "visual", "lexical"])
@pytest.mark.parametrize(
    ("features", "read", "studied", "layers", "reduction"),
    [
        ({**LAYERED}, {}, 3, (3,), "stack"),
        ({**LAYERED}, {"start": 1, "length": 3}, 5, (1, 2, 3), "mean"),
        ({"layers": [-4, -2, -1], "pooling": "mean"}, {}, 1, (-2,), "stack"),
        ({"layers": [6], "pooling": "mean"}, {}, 0, (6,), "stack"),
        ({"layers": [-2, -1], "reduce_layers": "sum", "pooling": "mean"}, {}, None, (-2, -1), "sum"),
        ({"layers": "output", "pooling": "mean"}, {}, None, "output", "stack"),
    ],
)  # fmt: skip
def test_the_frames_of_a_stream_are_of_the_states_that_are_read(
    modality: str, features: dict[str, Any], read: dict[str, Any], studied: int | None, layers: Any, reduction: str
) -> None:  # fmt: skip
    options = stream(modality, features, read=read)
    spec = frame_spec(options, studied)
    assert spec is not None
    assert (spec.layers, spec.reduce_layers, spec.pooling) == (layers, reduction, "frames")
    same = {"layers", "reduce_layers", "pooling"}
    assert spec.model_dump(exclude=same) == options.features.model_dump(exclude=same)
    if not options.features.layered:
        assert states_read(options, studied) is None


def test_frames_keep_their_tokens() -> None:
    """A prefix to adapt has all tokens; what a fusion reads has those that the recipe says."""
    patches = stream("visual", {"layers": "all", "pooling": "mean", "tokens": "patches"})
    spec = frame_spec(patches, 2)
    assert spec is not None and spec.tokens == "patches" and patches.features.prefix(2).tokens == "all"


def test_streams_without_frames_and_without_a_choice_of_states() -> None:
    assert frame_spec(stream("visual", {"source": "crops:"}), None) is None
    files = stream("physiology", {"source": "files:pulse"})
    spec = frame_spec(files, None)
    assert spec is not None and (spec.source, spec.modality, spec.pooling) == (
        "files:pulse", "physiology", "frames"
    )  # fmt: skip
    for modality in ("acoustic", "visual", "lexical"):
        with pytest.raises(ConfigError, match="expected the layer that the layer study chose"):
            frame_spec(stream(modality, LAYERED), None)


def test_what_is_learnt_stands_beside_the_frames() -> None:
    frames = RaggedTable(CLIPS, np.zeros((4, 2), np.float32), np.arange(5), np.ones(4, dtype=bool))
    assert framewise("acoustic/whisper", frames, None) == {"acoustic/whisper": frames}
    learnt = table("adapted")
    both = framewise("acoustic/whisper", frames, learnt)
    assert list(both) == ["acoustic/whisper", "acoustic/whisper/learnt"]
    assert both["acoustic/whisper/learnt"] is learnt


def test_the_options_of_the_training_are_not_where_it_leads() -> None:
    assert StreamAlignment(to="whisper", epochs=3).training == StreamAlignment(epochs=3).training
