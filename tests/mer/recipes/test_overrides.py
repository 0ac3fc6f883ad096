"""Single options set over a recipe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.errors import ConfigError
from mer.recipes import Recipe, load_recipe
from mer.recipes.overrides import parse_override, with_overrides


def at(recipe: Recipe, path: str) -> Any:
    value: Any = recipe
    for step in path.split("."):
        value = value[step] if isinstance(value, dict) else getattr(value, step)
    return value


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("fusion.hidden=64", "fusion.hidden", 64),
        ("acoustic.adaptation.rank=8", "streams.acoustic.adaptation.rank", 8),
        ("streams.acoustic.adaptation.rank=8", "streams.acoustic.adaptation.rank", 8),
        ("acoustic.adaptation=null", "streams.acoustic.adaptation", None),
        ("acoustic.adapted_speeds=[0.9, 1.1]", "streams.acoustic.adapted_speeds", (0.9, 1.1)),
        ("visual.features.source=models/clip=large", "streams.visual.features.source", "models/clip=large"),
        ("visual.features.source=crops:", "streams.visual.features.source", "crops:"),
        ("lexical.features.prompt=Text: {text}", "streams.lexical.features.prompt", "Text: {text}"),
        ("quality.min_speech_seconds=0.5", "quality.min_speech_seconds", 0.5),
        ("ensemble.members={a: {}, b: {hidden: 32}}", "ensemble.members", {"a": {}, "b": {"hidden": 32}}),
        ("label_shift=off", "label_shift.mode", "off"),
        ("emotions=[calm, loud]", "emotions", ("calm", "loud")),
        (" fusion.hidden =64", "fusion.hidden", 64),
        ("name=mine", "name", "mine"),
    ],
)  # fmt: skip
def test_an_option_is_set(text: str, path: str, value: object) -> None:
    assert at(load_recipe("demo", [text]), path) == value


def test_everything_else_stays() -> None:
    demo, wider = load_recipe("joint_decoding"), load_recipe("joint_decoding", ["fusion.hidden=64"])
    assert wider != demo
    assert wider.model_copy(update={"fusion": demo.fusion}) == demo


def test_later_ones_win_and_build_on_earlier_ones() -> None:
    recipe = load_recipe(
        "demo", ["fusion.hidden=8", "fusion={model: late}", "fusion.hidden=16", "label_shift=report", "label_shift.alpha=0.05"]
    )  # fmt: skip
    assert (recipe.fusion.model, recipe.fusion.hidden) == ("late", 16)
    assert (recipe.label_shift.mode, recipe.label_shift.alpha) == ("report", 0.05)


def test_a_stream_may_be_named_at_the_top() -> None:
    pulse = "streams.pulse={modality: physiology, features: {source: 'files:a'}}"
    recipe = load_recipe("demo", [pulse, "pulse.features.source=files:b"])
    assert recipe.streams["pulse"].features.source == "files:b"
    assert "pulse" not in load_recipe("demo", [pulse, "pulse=null"]).streams
    with pytest.raises(ConfigError, match="pulse: unknown option"):
        load_recipe("demo", ["pulse.features.source=files:b"])
    fusion = "streams.fusion={modality: physiology, features: {source: 'files:a'}}"
    assert load_recipe("demo", [fusion, "fusion.hidden=8"]).fusion.hidden == 8, "options come before streams"


def test_a_short_value_leaves_the_other_options_of_its_group_as_they_are() -> None:
    recipe = load_recipe("demo", ["label_shift.alpha=0.05", "label_shift=report"])
    assert (recipe.label_shift.mode, recipe.label_shift.alpha) == ("report", 0.05)
    assert load_recipe("demo", ["label_shift.alpha=0.05", "label_shift={}"]).label_shift.alpha != 0.05


def test_null_removes_a_stream_and_a_stream_is_made_on_the_way() -> None:
    recipe = load_recipe(
        "demo",
        [
            "lexical=null",
            "streams.gaze.features.modality=gaze",
            "streams.gaze.features.source=files:gaze-UTT",
        ],
    )
    assert set(recipe.streams) == {"acoustic", "visual", "gaze"}


def test_options_are_set_over_what_is_extended(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: demo\nfusion: {hidden: 32}\n", encoding="utf-8")
    assert load_recipe(str(path), ["fusion.hidden=16", "seed=4"]).fusion.hidden == 16


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fusion.hidden", "expected PATH=VALUE"),
        ("=64", "expected PATH=VALUE"),
        ("fusion..hidden=64", "expected PATH=VALUE"),
        (".=1", "expected PATH=VALUE"),
        ("fusion.hidden=[1", "--set fusion.hidden=\\[1: not YAML.*quotes"),
        ("fusion={model: late, model: concat}", "every key once"),
        ("fusion.hiden=64", "fusion.hiden: unknown option, found value 64; nearest: fusion.hidden"),
        ("acoustic.adaptation.rnk=8", "nearest: streams.acoustic.adaptation.rank"),
        ("hidden=64", "hidden: unknown option.*nearest: fusion.hidden"),
        ("extends=clips", "extends: unknown option"),
        ("fusion.dropout=7", "fusion.dropout: .*less than 1, found 7"),
        ("fusion.hidden.width=7", "fusion.hidden: .*valid integer"),
        ("label_shift.mode=loud", "'off', 'report' or 'correct-if-shifted', found 'loud'"),
        (
            "ensemble.members={a: {}, b: {hidden: 3}}",
            "ensemble.members.b.hidden: .*greater than or equal to 4",
        ),
        ("ensemble.members={a: {}, b: {hiden: 3}}", "ensemble.members.b.hiden: "),
        ("pseudo_labels.fusion={dropout: 7}", "pseudo_labels.fusion.dropout: .*less than 1"),
        ("emotions=[a, b, a]", "every class once"),
        ("streams=3", "streams: .*dictionary"),
        ("streams=null", "at least one stream"),
        ("folds=2", r"folds: expected options in a mapping \(count, use_published, .*\), found 2"),
        (
            "streams.text={modality: lexical}",
            r"streams\.text\.features\.source: expected a value, found none",
        ),
        ("streams.wisper.features.source=x", "a new stream, made by --set; the recipe itself has acoustic"),
        ("x" * 5000 + "=1", "unknown option"),
    ],
)
def test_what_cannot_be_set_is_said_in_one_message(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("demo", [text])
    message = str(caught.value)
    assert len(message) < 2000
    assert re.search(complaint, message, re.S), message
    if "unknown option" in complaint or "found" in complaint:
        assert message.startswith("recipe demo --set ") and "`mer recipes NAME`" in message


def test_the_name_of_a_stream_alone_is_that_of_the_streams(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "extends: clips\nacoustic: null\nstreams: {ears: {modality: acoustic, features: {source: w}}}\n"
    )
    assert load_recipe(str(file), ["ears.read.start=3"]).streams["ears"].read.start == 3
    with pytest.raises(
        ConfigError, match=r"streams\.acoustic: a new stream.* itself has visual, lexical, ears\n"
    ):
        load_recipe(str(file), ["acoustic.adaptation.rank=8"])
    with pytest.raises(ConfigError, match="ears: unknown option"):
        load_recipe(str(file), ["streams=3", "ears.read.start=3"])


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("abc"), st.integers())
    )
)
def test_setting_an_option_changes_that_path_alone(values: dict[str, Any]) -> None:
    before = repr(values)
    changed = with_overrides(values, [parse_override("a.b=7")])
    assert changed["a"]["b"] == 7 and repr(values) == before
    assert {name: value for name, value in changed.items() if name != "a"} == {
        name: value for name, value in values.items() if name != "a"
    }
