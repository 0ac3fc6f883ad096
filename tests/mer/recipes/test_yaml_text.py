"""YAML of recipes: plain values, every key once, nothing that costs more than it says."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mer.errors import ConfigError
from mer.recipes.yaml_text import read_yaml


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", (1, 3)),
        ('a: 1\n"a": 2\n', "a", (1, 2)),
        ("x:\n  y: {b: 1,\n      b: 2}\n", "b", (2, 3)),
        ("x: [{c: 1, c: 2}]\n", "c", (1, 1)),
        ("x: &x {a: 1}\ny:\n  <<: *x\n  b: 1\n  b: 2\n", "b", (4, 5)),
    ],
)
def test_a_repeated_key_names_both_lines(text: str, key: str, lines: tuple[int, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_yaml(text, "recipe mine.yaml")
    first, again = lines
    expected = (
        f"recipe mine.yaml: expected every key once, found '{key}' in line {first} and again in line {again}"
    )
    assert str(caught.value).startswith(expected)


def test_anchors_and_merge_keys_work() -> None:
    text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: *x, c: 4}\nw: [*x, *x]\n"
    value = read_yaml(text, "recipe")
    assert value["y"] == {"a": 1, "b": 3} and value["z"] == {"a": 1, "b": 2, "c": 4}
    assert value["w"] == [{"a": 1, "b": 2}] * 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [unclosed", "not YAML"),
        ("a: !!python/object/apply:os.system ['true']", "not YAML"),
        ("a: 2024-13-45", "not YAML"),
        ("a: !!timestamp x", "not YAML"),
        ("a: \0", "not YAML"),
        ("a: 1\n---\nb: 2", "not YAML"),
        ("a: &a [*a]", "refers to itself"),
        ("a: &a {b: {c: *a}}", "refers to itself"),
        ("[" * 1500, "levels"),
        ("a: &a [" + "1, " * 400 + "]\nb: [" + "*a, " * 400 + "]", "at most 100,000 values"),
    ],
)
def test_what_cannot_be_read_is_one_error_of_ours(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        read_yaml(text, "recipe mine.yaml")
    assert str(caught.value).startswith("recipe mine.yaml: ")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_whatever_yaml_writes_is_read_back(value: object) -> None:
    assert read_yaml(yaml.safe_dump(value), "recipe") == value


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_yaml(text, "recipe")
    except ConfigError as error:
        assert str(error).startswith("recipe: ")


def test_a_set_is_refused_since_its_order_would_be_another_in_every_run() -> None:
    with pytest.raises(
        ConfigError, match=r"mine: expected a list, found a set, which has no order \(line 2\)"
    ):
        read_yaml("name: x\nemotions: !!set {calm, loud}", "mine")
