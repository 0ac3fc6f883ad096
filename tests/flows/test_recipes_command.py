"""`mer recipes` as a person sees it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from mer.recipes import recipe_names


def shown(*arguments: str, columns: int = 80) -> str:
    answer = CliRunner().invoke(app, ["recipes", *arguments], env={"COLUMNS": str(columns)})
    assert answer.exit_code == 0, answer.output
    return answer.stdout


@pytest.mark.parametrize("arguments", [(), ("demo",), ("best", "--changed"), ("acoustic_adaptation_full",)])
@pytest.mark.parametrize("columns", [80, 132])
def test_nothing_is_wider_than_the_terminal_or_cut(arguments: tuple[str, ...], columns: int) -> None:
    lines = shown(*arguments, columns=columns).splitlines()
    assert max(map(len, lines)) <= columns
    assert not any("\u2026" in line for line in lines)


def test_every_recipe_has_its_line() -> None:
    text = shown()
    heads = [line for line in text.splitlines() if line and not line.startswith((" ", "`"))]
    assert [line.split()[0] for line in heads] == list(recipe_names())
    assert "demo  (extends clips; needs no download)" in text
    assert "ravdess  (needs features/openface-au-UTT of the corpus)" in text


def test_an_option_has_value_default_range_and_meaning() -> None:
    text = shown("demo", "--set", "fusion.hidden=64")
    flat = re.sub(r"\s+", " ", text)
    assert (
        "* fusion.hidden: 64 Width of every hidden layer (features). [whole number, 4 to 4,096; default 128]"
        in flat
    )
    assert re.search(r"^  fusion\.level: utterance$", text, re.M), "as the default: no mark"
    assert "one of utterance, frames; default utterance" in flat
    assert re.search(r"^- quality: left out$", text, re.M) and re.search(r"^- quality\.\w+$", text, re.M)


def test_changed_shows_only_what_differs() -> None:
    text = shown("demo", "--changed")
    marks = {line[0] for line in text.splitlines() if re.match(r"^.\s[a-z_]+[.:]", line)}
    assert marks == {"*"}
    assert "fusion.model: attention" in text and "fusion.hidden" not in text
    assert "* pseudo_labels" in text, "given, with nothing but defaults"
    assert "* fusion.hidden: 64" in shown("demo", "--changed", "--set", "fusion.hidden=64")


def test_a_file_is_shown_as_well(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: demo\nemotions: [calm, loud]\n", encoding="utf-8")
    text = shown(str(path))
    assert "recipe mine; extends demo" in text and "* emotions: [calm, loud]" in text


def test_markup_in_a_recipe_is_shown_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: demo\ndescription: '[bold]x[/]'\n", encoding="utf-8")
    assert "description: '[bold]x[/]'" in shown(str(path), "--changed")


def test_what_is_no_recipe_is_said() -> None:
    answer = CliRunner().invoke(app, ["recipes", "demmo"])
    assert answer.exit_code == 1 and "nearest: demo" in str(answer.exception)
