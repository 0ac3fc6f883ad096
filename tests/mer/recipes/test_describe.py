"""What `mer recipes` knows of options: every one, with its value, default, range and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field

from mer.recipes import load_recipe, recipe_names
from mer.recipes.allowed_values import allowed_values
from mer.recipes.describe import OptionDescription, describe_recipe, describe_recipes


def described(name: str, *overrides: str) -> dict[str, OptionDescription]:
    return {option.path: option for option in describe_recipe(load_recipe(name, overrides))}


def stated_paths(value: Any, prefix: str = "") -> set[str]:
    """Paths of all single values of a dumped recipe, as far as mappings go."""
    if not isinstance(value, dict) or not value:
        return {prefix[:-1]}
    return set().union(*(stated_paths(inner, f"{prefix}{name}.") for name, inner in value.items()))


@pytest.mark.parametrize("name", recipe_names())
def test_every_option_of_every_recipe_is_there_and_explained(name: str) -> None:
    options = described(name)
    recipe = load_recipe(name)
    dumped = recipe.model_dump(mode="json", exclude={"ensemble": {"members"}})
    assert stated_paths(dumped) - set(options) - {"ensemble.members"} == set()
    for path, option in options.items():
        assert option.meaning, path
        assert option.group or option.allowed, path


def test_a_value_stands_beside_its_default_range_and_meaning() -> None:
    hidden = described("demo", "fusion.hidden=64")["fusion.hidden"]
    assert (hidden.value, hidden.default, hidden.changed, hidden.required) == (64, 128, True, False)
    assert (hidden.allowed, hidden.meaning) == (
        "whole number, 4 to 4,096",
        "Width of every hidden layer (features).",
    )
    assert (hidden.value_text, hidden.default_text) == ("64", "128")
    level = described("demo")["fusion.level"]
    assert (level.allowed, level.changed) == ("one of utterance, frames", False)


def test_changed_are_those_that_the_file_states_otherwise_than_the_defaults() -> None:
    changed = {path for path, option in described("demo").items() if option.changed and not option.group}
    given = {
        "name", "description", "fusion.model", "fusion.learning_rate", "shard_clips", "streams.acoustic.adaptation.epochs",
        "streams.visual.features.frames.frames", "streams.visual.features.source", "streams.visual.alignment.epochs",
        "streams.visual.keep_unaligned", "streams.acoustic.speeds",
    }  # fmt: skip
    assert given <= changed
    rest = {path.rpartition(".")[2] for path in changed - given}
    assert rest == {"modality", "source", "multilingual"}, (
        "speech reads all layers by default, which is no change"
    )


def test_groups_that_are_left_out_show_what_they_would_have() -> None:
    options = described("demo")
    quality = options["quality"]
    assert quality.group and not quality.used and not quality.changed
    below = [option for path, option in options.items() if path.startswith("quality.")]
    assert below and not any(option.used or option.changed for option in below)
    assert options["pseudo_labels"].changed and options["pseudo_labels.rounds"].used
    without = described("demo", "pseudo_labels=null")
    assert not without["pseudo_labels"].used and not without["pseudo_labels.rounds"].used


def test_streams_of_any_name_are_walked() -> None:
    options = described("demo", "streams.gaze={modality: gaze, features: {source: 'files:gaze-UTT'}}")
    gaze = options["streams.gaze.features.source"]
    assert (gaze.value, gaze.required, gaze.changed) == ("files:gaze-UTT", True, True)


def test_items_of_lists_are_numbered() -> None:
    options = described("acoustic_adaptation")
    augmentations = "streams.acoustic.adaptation_variants.augmentations"
    assert options[augmentations].group and f"{augmentations}[0].speeds" in options


def test_what_is_shown_can_be_set_again() -> None:
    recipe = load_recipe("joint_decoding")
    values = [
        f"{option.path}={option.value_text}"
        for option in describe_recipe(recipe)
        if option.used and not option.group and "[" not in option.path
    ]
    assert len(values) > 150
    assert load_recipe("joint_decoding", values) == recipe


def test_recipes_say_what_they_need() -> None:
    needs = {recipe.name: recipe.needs for recipe in describe_recipes()}
    assert set(needs) == set(recipe_names())
    full = {name for name in needs if name.endswith("_full")}
    assert len(full) == 3, "one for each system"
    assert full < {name for name, needed in needs.items() if needed}
    assert not needs["demo"]
    assert needs["ravdess"] == ("features/openface-au-UTT of the corpus",)
    assert all(needs[name][0] == "models/chinese-hubert-large" for name in full)


def test_a_path_of_a_recipe_is_described_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: demo\nfusion: {hidden: 32}\n", encoding="utf-8")
    assert described(str(path))["fusion.hidden"].changed


class _Options(BaseModel):
    whole: int = Field(default=1, ge=1)
    share: float = Field(default=0.5, gt=0.0, lt=1.0)
    most: float | None = Field(default=None, le=2_000.0)
    choice: Literal["a", "b"] | None = None
    alone: Literal["all"] | Annotated[int, Field(ge=1, le=512)] = "all"
    words: tuple[str, ...] = Field(default=(), max_length=3)
    pair: tuple[int, int] = (1, 2)
    names: dict[str, float] = {}
    text: str = Field(default="x", min_length=1)
    flag: bool = True


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("whole", "whole number, at least 1"),
        ("share", "number, above 0, below 1"),
        ("most", "number, at most 2,000; or null"),
        ("choice", "one of a, b; or null"),
        ("alone", "all; or whole number, 1 to 512"),
        ("words", "list, each text, at most 3 of them"),
        ("pair", "list of 2: whole number, whole number"),
        ("names", "mapping of names, each number"),
        ("text", "text, not empty"),
        ("flag", "true or false"),
    ],
)
def test_kinds_ranges_and_choices_in_words(name: str, said: str) -> None:
    assert allowed_values(_Options.model_fields[name]) == said


def test_values_are_yaml_in_one_line() -> None:
    options = described("best")
    members = options["ensemble.members"]
    assert "\n" not in members.value_text
    assert yaml.safe_load(members.value_text) == load_recipe("best").model_dump()["ensemble"]["members"]
