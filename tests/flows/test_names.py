"""Every text that becomes the name of something is checked where it is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from flows.cli import app
from flows.options import FlowOptions, SearchOptions
from flows.predict_options import PredictOptions
from mer.errors import ConfigError
from mer.recipes import load_recipe

BAD = {
    "path": "../../x", "markup": "[bold]x[/]", "newline": "a\nb", "long": "x" * 10_000, "space": " ", "here": ".", "above": "..",
    "device": "con/..", "nul": "a\0b",
}  # fmt: skip
EMPTY_IS_NO_NAME = {"recipe", "class", "member"}
"""Doors at which an empty text does not stand for "none given"."""


def recipe_named(name: str) -> Any:
    return load_recipe("demo", [f"name={_quoted(name)}"])


def class_named(name: str) -> Any:
    return load_recipe("demo", [f"emotions=[calm, {_quoted(name)}]"])


def member_named(name: str) -> Any:
    return load_recipe("demo", [f"ensemble.members={{one: {{}}, ? {_quoted(name)} : {{}}}}"])


def stream_named(name: str) -> Any:
    stream = "{modality: gaze, features: {source: 'files:gaze-UTT'}}"
    return load_recipe("demo", [f"streams={{? {_quoted(name)} : {stream}}}"])


def corpus_named(name: str) -> Any:
    return FlowOptions(corpus_name=name)


def study_named(name: str) -> Any:
    return SearchOptions(study=name)


def model_named(name: str) -> Any:
    return PredictOptions(model=name, paths=("clip.mp4",))


def _quoted(name: str) -> str:
    """As YAML; behind `? ` a key may be longer than 1,024 characters."""
    return json.dumps(name)


DOORS: dict[str, Callable[[str], Any]] = {
    "recipe": recipe_named,
    "class": class_named,
    "member": member_named,
    "stream": stream_named,
    "corpus": corpus_named,
    "study": study_named,
    "model": model_named,
}


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_it_in(door: str, name: str) -> None:
    with pytest.raises((ConfigError, ValidationError), match="expected"):
        DOORS[door](name)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_lets_a_name_in(door: str) -> None:
    DOORS[door]("good-name_2")


@pytest.mark.parametrize("door", sorted(EMPTY_IS_NO_NAME))
def test_the_empty_text_is_no_name(door: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        DOORS[door]("")


@pytest.mark.parametrize(
    "name", [name for name in BAD.values() if "\0" not in name], ids=[n for n in BAD if n != "nul"]
)
@pytest.mark.parametrize(
    "command", [("models",), ("evaluate",), ("predict", ".", "--model")], ids=lambda c: c[0]
)
def test_commands_refuse_names_of_models(command: tuple[str, ...], name: str) -> None:
    answer = CliRunner().invoke(app, [*command, name])
    assert answer.exit_code == 2
    assert "letters" in answer.output and "[bold]x[/]" in (answer.output if "bold" in name else "[bold]x[/]")


@pytest.mark.parametrize("name", ["My clips (2)+more", "clips", "日本語"])
def test_a_folder_may_be_called_as_folders_are(name: str, tmp_path: Path) -> None:
    assert FlowOptions().catalogue_name(str(tmp_path / name)) == name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("s3://data/a/mer 2025/?endpoint=http://h:1/x", "mer 2025"),
        ("s3://data", "data"),
        ("s3://data/日本語", "日本語"),
    ],
)
def test_a_corpus_in_a_bucket_is_called_as_its_folder(address: str, name: str) -> None:
    assert FlowOptions(corpus=address).catalogue_name(address) == name
    assert FlowOptions(corpus=address, corpus_name="mine").catalogue_name(address) == "mine"


@pytest.mark.parametrize("name", ["[bold]x[/]", "a\nb", "x" * 65, "-x", "a;b"])
def test_a_folder_that_cannot_lend_its_name_asks_for_one(name: str, tmp_path: Path) -> None:
    root = str(tmp_path / name)
    with pytest.raises(ConfigError, match="--name"):
        FlowOptions().catalogue_name(root)
    assert FlowOptions(corpus_name="mine").catalogue_name(root) == "mine"
    with pytest.raises(ConfigError, match="--name"):
        FlowOptions().catalogue_name("/")


def test_a_study_may_have_the_name_that_it_gets_by_default() -> None:
    assert SearchOptions(study="demo/My clips (2)/1f0c2a").study == "demo/My clips (2)/1f0c2a"
