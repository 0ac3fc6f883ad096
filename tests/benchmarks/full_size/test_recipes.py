"""What a full-size recipe's fusion reads is what its streams give, and every encoder it names has a size."""

from __future__ import annotations

import pytest

from benchmarks.full_size.fusions import fusion_figures
from benchmarks.full_size.models import MODELS
from benchmarks.full_size.recipes import RECIPES, WIDTHS, encoder_uses, stream_widths
from mer.encoders.placement import Placement
from mer.recipes import load_recipe, recipe_names


def test_every_full_size_recipe_is_measured() -> None:
    assert set(RECIPES) == {name for name in recipe_names() if name.endswith("_full")}


@pytest.mark.parametrize("name", RECIPES)
def test_every_encoder_has_a_size(name: str) -> None:
    for use in encoder_uses(load_recipe(name)):
        assert MODELS[use.model].build(1, Placement("meta")).width == WIDTHS[use.model]


def test_system_b_fine_tunes_pictures_and_text_and_the_guide_has_frames() -> None:
    recipe = load_recipe("audio_guided_full")
    assert {use.stream: use.trained for use in encoder_uses(recipe)} == {
        "acoustic": False, "visual": True, "lexical": True,
    }  # fmt: skip
    assert stream_widths(recipe) == {
        "acoustic": (249, 1024),
        "visual": (8, 1024), "visual/learnt": (1, 2048),
        "lexical": (1, 5120), "lexical/learnt": (1, 10_240),
    }  # fmt: skip


def test_vectors_of_system_a_are_adapted_aligned_and_frozen() -> None:
    """Adapted speech replaces the frozen layer, the face is its aligned vector."""
    assert stream_widths(load_recipe("acoustic_adaptation_full")) == {
        "acoustic": (1, 2048), "visual": (1, 128), "lexical": (1, 4096),
    }  # fmt: skip


def test_all_three_structures_are_trained_at_their_widths() -> None:
    recipe = load_recipe("joint_decoding_full")
    narrow = {name: (frames, 16) for name, (frames, _) in stream_widths(recipe).items()}
    found = fusion_figures(recipe, narrow)
    assert list(found) == ["S1", "S2", "S3"]
    assert found["S3"]["parameters"] > found["S2"]["parameters"]  # type: ignore[operator]
