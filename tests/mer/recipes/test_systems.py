"""Which systems a recipe trains: members of any kind, a search in their place, and what is compared with them."""

from __future__ import annotations

import pytest

from mer.errors import ConfigError
from mer.recipes import load_recipe
from mer.recipes.loading import parse_recipe
from mer.recipes.recipe import Recipe
from mer.recipes.studies import studied_streams
from mer.recipes.systems import (
    choices_of,
    compared_streams,
    leading_system,
    scored_systems,
    served_choices,
)

TEXT = """
name: x
streams:
  moonshine: {modality: acoustic, features: {source: a}}
  sound: {modality: acoustic, features: {source: "sound:"}}
  visual: {features: {source: "files:face"}}
"""


def recipe(text: str = "") -> Recipe:
    return parse_recipe(TEXT + text, origin="mine.yaml")


def rows(made: Recipe) -> dict[str, tuple[str, tuple[str, ...], bool]]:
    return {one.name: (one.choice.kind, one.streams, one.whole) for one in scored_systems(made)}


def test_a_search_is_served_in_place_of_the_fusion() -> None:
    made = recipe("ensemble: {search: {kinds: [kernel], streams: [moonshine, visual]}}\n")
    speech = ("moonshine", "sound")
    assert rows(made) == {
        "ensemble": ("searched", (*speech, "visual"), True),
        "acoustic": ("searched", speech, True),
        "visual": ("searched", ("visual",), True),
        "logistic": ("linear", (*speech, "visual"), True),
    }
    choice = leading_system(made).choice
    assert list(choice.options["streams"]) == ["acoustic/moonshine", "visual"] and choice.levels == (
        "states",
    )
    alone = next(one for one in scored_systems(made) if one.name == "acoustic")
    assert list(alone.choice.options["streams"]) == ["acoustic/moonshine"], "of its own streams"
    assert Recipe.model_validate_json(made.model_dump_json()) == made
    assert studied_streams(made) == (), "all hidden states are read: none has to be chosen"


def test_a_search_that_is_not_served_is_scored_beside_the_fusion() -> None:
    made = recipe("ensemble: {serve: false, search: {}}\ncomparisons: none\n")
    assert {name: kind for name, (kind, *_) in rows(made).items()} == {
        "fused": "neural", "ensemble": "searched", "logistic": "linear",
    }  # fmt: skip
    (logistic,) = (one for one in scored_systems(made) if one.name == "logistic")
    assert logistic.choice.sources == {"states": "utterance"}, "it reads what the fusion reads"
    assert studied_streams(made) == ("moonshine",)


def test_members_may_be_of_any_kind() -> None:
    made = recipe(
        "ensemble:\n  members:\n    net: {hidden: 16}\n    near: {kind: kernel, streams: {moonshine: 1, sound: 0.05}, "
        "states: {moonshine: [1, 4]}, penalty: 0.1}\n    found: {kind: searched}\n"
    )
    choices = made.member_choices
    assert {name: choice.kind for name, choice in choices.items()} == {
        "net": "neural", "near": "kernel", "found": "searched",
    }  # fmt: skip
    assert choices["near"].options["streams"] == {"acoustic/moonshine": 1.0, "acoustic/sound": 0.05}
    assert list(made.member_fusions) == ["net"] and served_choices(made) == tuple(choices.values())
    assert {level for choice in choices_of(made) for level in choice.levels} == {"utterance", "states"}
    left = made.without_streams(["moonshine", "sound"])
    assert list(left.member_choices) == ["net", "found"], (
        "a member that reads nothing that is left is left out"
    )
    fewer = made.without_streams(["sound"])
    assert fewer.member_choices["near"].options["streams"] == {"acoustic/moonshine": 1.0}
    narrowed = recipe("ensemble: {search: {streams: [sound, visual]}}\n").without_streams(["sound"])
    assert narrowed.searched_choice is not None and list(narrowed.searched_choice.options["streams"]) == [
        "visual"
    ]


@pytest.mark.parametrize(
    ("ensemble", "complaint"),
    [
        ("{search: {}, members: {a: {}, b: {}}}", "expected `members` or `search`, found both"),
        ("{search: {folds: 1}}", r"ensemble\.search\.folds"),
        ("{search: {foldz: 3}}", r"ensemble\.search\.foldz: unknown option.*nearest: ensemble\.search\.folds"),
        ("{search: {streams: [ear]}}", r"streams: expected some of moonshine, sound, visual, found 'ear'"),
        ("{members: {a: {}, b: {kind: tree}}}", "kind: expected one of neural, kernel, linear, searched, found 'tree'"),
        ("{members: {a: {}, b: {kind: kernel, width: -1}}}", r"ensemble\.members\.b\.width"),
        ("{members: {a: {}, b: {kind: kernel, streams: {ear: 1}}}}", "expected some of moonshine"),
        ("{members: {a: {}, b: {kind: ensemble}}}", "kind: expected one of"),
    ],
)  # fmt: skip
def test_systems_that_cannot_work_are_refused(ensemble: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        recipe(f"ensemble: {ensemble}\n")


def test_comparisons_are_by_modality_by_stream_or_none() -> None:
    assert compared_streams(recipe()) == {"acoustic": ("moonshine", "sound"), "visual": ("visual",)}
    by_stream = compared_streams(recipe("comparisons: streams\n"))
    assert by_stream == {"moonshine": ("moonshine",), "sound": ("sound",), "visual": ("visual",)}
    assert compared_streams(recipe("comparisons: none\n")) == {}
    beside = recipe("fused_streams: [moonshine, sound]\n")
    assert compared_streams(beside) == {"visual": ("visual",), "acoustic": ("moonshine", "sound")}
    with pytest.raises(ConfigError, match="comparisons"):
        recipe("comparisons: all\n")


def test_the_frozen_features_may_be_scored_too() -> None:
    frozen = [one for one in scored_systems(recipe("compare_frozen: true\n")) if one.frozen]
    assert [(one.name, one.choice.kind, one.streams) for one in frozen] == [
        ("frozen", "searched", ("moonshine", "sound", "visual"))
    ]
    assert all(not one.frozen for one in scored_systems(recipe()))


def test_the_recipes_of_published_figures_are_searched() -> None:
    for name in ("ravdess", "ravdess_two_encoders", "precomputed"):
        made = load_recipe(name)
        assert made.serves_ensemble and leading_system(made).choice.kind == "searched" and not made.adapts
    assert (
        load_recipe("ravdess_two_encoders", ["whisper.features.source=/a/b"])
        .streams["whisper"]
        .features.source
        == "/a/b"
    )
