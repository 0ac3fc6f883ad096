"""Every choice of a search is a recipe: it reads back from YAML, and says what the candidate was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from mer.errors import ConfigError
from mer.fusion.registry import model_names
from mer.recipes import Recipe, load_recipe
from mer.recipes.loading import parse_recipe
from mer.search.searched_recipe import recipe_piece, whole_recipe, writable
from mer.search.space import SearchSpace, search_space

optuna.logging.set_verbosity(optuna.logging.WARNING)
MODELS = ("attention", "concat")


def draws(space: SearchSpace, count: int) -> list[dict[str, Any]]:
    """Parameters that real trials chose at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    trials = [study.ask() for _ in range(count)]
    for trial in trials:
        space.draw(trial)
    return [dict(trial.params) for trial in trials]


def merged(base: Mapping[str, Any], piece: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for name, value in piece.items():
        inner = both.get(name)
        both[name] = (
            merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
        )
    return both


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ravdess", "demo", "baseline_attention", "joint_decoding"])
def test_every_choice_is_a_recipe_that_a_run_accepts(name: str) -> None:
    alone = load_recipe(name)
    # trials are of fusions: `mer search --set fusion.model=attention` on a recipe that serves a search
    base = load_recipe(name, [f"fusion.model={alone.fusion.model}"])
    space = search_space(base, MODELS, states={"acoustic": 7}, valence=True)
    for params in draws(space, 40):
        found = space.recipe_of(params)
        assert parse_recipe(whole_recipe(found, ["a note: with a colon"]), origin="written") == found
        piece = recipe_piece(alone, found)
        assert (
            Recipe.model_validate(merged(alone.model_dump(mode="json"), yaml.safe_load(piece) or {})) == found
        )
        extending = f"extends: {name}\nname: {name}\n{piece}"
        assert parse_recipe(extending, origin="extending").model_dump(
            exclude={"description"}
        ) == found.model_dump(exclude={"description"})
        for option in ("model", "hidden", "dropout", "learning_rate", "valence_decoding"):
            assert getattr(found.fusion, option) == params[option]
        assert found.reads == tuple(params["streams"].split("+"))
        if base.fusion.level == "utterance":
            states = found.streams["acoustic"].read.states(studied=2)
            assert states is not None and states[0] == params["acoustic.block_start"] and states[-1] <= 6
            assert len(states) == min(params["acoustic.block_length"], 7 - states[0])


def test_parts_of_streams_are_chosen_where_there_is_a_choice() -> None:
    learnt = ["acoustic.adaptation={}", "visual.alignment={to: acoustic}", "visual.keep_unaligned=true"]
    space = search_space(load_recipe("ravdess", learnt), MODELS, states={"acoustic": 7}, valence=False)
    assert set(space.choices["acoustic.adaptation"]) == {"frozen+adapted", "frozen", "adapted"}
    assert set(space.choices["visual.alignment"]) == {"unaligned+aligned", "unaligned", "aligned"}
    found = space.recipe_of(
        {"acoustic.adaptation": "frozen", "visual.alignment": "unaligned", "acoustic.pooling": "mean"}
    )
    speech, face = found.streams["acoustic"], found.streams["visual"]
    assert (speech.keep_frozen, speech.keep_adapted) == (True, False)
    assert (face.keep_unaligned, face.keep_aligned) == (True, False)
    assert speech.read.pooling == "mean"
    crops = load_recipe("acoustic_adaptation")
    assert set(search_space(crops, MODELS, states={}, valence=False).choices["visual.alignment"]) == {
        "unaligned+aligned", "aligned", "unaligned",
    }  # fmt: skip
    pixels = search_space(crops.with_stream("visual", keep_unaligned=False), MODELS, states={}, valence=False)
    assert "visual.alignment" not in pixels.choices, "pixels are read through the alignment only"
    means = search_space(load_recipe("baseline_attention"), MODELS, states={"acoustic": 7}, valence=False)
    assert "acoustic.pooling" not in means.choices and "acoustic.adaptation" not in means.choices
    demo = load_recipe("demo")
    framewise = demo.model_copy(update={"fusion": demo.fusion.model_copy(update={"level": "frames"})})
    frames = search_space(framewise, MODELS, states={"acoustic": 7}, valence=False)
    assert not frames.whole and frames.choices["acoustic.adaptation"] == ("frozen+adapted", "frozen")


def test_joint_decoding_is_searched_only_with_valence() -> None:
    base = load_recipe("demo")
    joint = {"valence_decoding", "task_balance"}
    assert joint <= set(search_space(base, MODELS, states={"acoustic": 7}, valence=True).choices)
    assert not joint & set(search_space(base, MODELS, states={"acoustic": 7}, valence=False).choices)
    deaf = base.model_copy(update={"fusion": base.fusion.model_copy(update={"valence_weight": 0.0})})
    assert not joint & set(search_space(deaf, MODELS, states={"acoustic": 7}, valence=True).choices)


def test_a_block_is_at_most_a_third_of_a_deep_encoder() -> None:
    deep = search_space(load_recipe("demo"), MODELS, states={"acoustic": 25}, valence=False)
    assert deep.whole == {"acoustic.block_start": (0, 24), "acoustic.block_length": (1, 8)}
    shallow = search_space(load_recipe("demo"), MODELS, states={"acoustic": 3}, valence=False)
    assert shallow.whole == {"acoustic.block_start": (0, 2), "acoustic.block_length": (1, 3)}
    assert not search_space(load_recipe("demo"), MODELS, states={}, valence=False).whole


@pytest.mark.parametrize("name", ["ravdess", "demo", "baseline_attention"])
def test_the_first_choice_is_the_recipe_itself(name: str) -> None:
    base = load_recipe(name)
    space = search_space(base, model_names(), states={"acoustic": 7}, valence=True)
    defaults = space.defaults(studied={"acoustic": [2, 3, 2]})
    found = space.recipe_of(defaults)
    assert found.streams["acoustic"].read.states(None) == (2,)
    same = found.with_stream("acoustic", read=base.streams["acoustic"].read).model_copy(
        update={"fusion": base.fusion}
    )
    assert same == base, "it fuses the same parts of the same streams"
    assert found.fusion.model_dump() == base.fusion.model_dump()
    study = optuna.create_study()
    study.enqueue_trial(defaults)
    trial = study.ask()
    space.draw(trial)  # a value outside the space would be a warning, which is an error here
    assert {option: trial.params[option] for option in defaults} == defaults


def test_what_makes_trials_incomparable_is_described() -> None:
    base = load_recipe("demo")
    own = search_space(base, MODELS, states={"acoustic": 7}, valence=False).describe()
    longer = base.model_copy(update={"fusion": base.fusion.model_copy(update={"epochs": 3})})
    renamed = base.model_copy(update={"name": "other"})
    assert search_space(longer, MODELS, states={"acoustic": 7}, valence=False).describe() != own
    assert search_space(base, MODELS, states={"acoustic": 7}, valence=True).describe() != own
    assert search_space(renamed, MODELS, states={"acoustic": 7}, valence=False).describe() == own


def test_a_recipe_of_somebodys_own_is_not_written_over(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("# mine\nname: x\n", encoding="utf-8")
    for path in (own, tmp_path / "found.txt", tmp_path / "nowhere" / "found.yaml"):
        with pytest.raises(ConfigError, match="recipe"):
            writable(path)
    fresh = writable(tmp_path / "found.yaml")
    fresh.write_text(whole_recipe(load_recipe("demo"), []), encoding="utf-8")
    assert writable(fresh) == fresh
    assert load_recipe(str(fresh)) == load_recipe("demo")


def test_the_piece_removes_the_streams_that_the_search_was_without() -> None:
    without = load_recipe("demo", ["lexical=null", "fusion.hidden=64"])
    piece = recipe_piece(load_recipe("demo"), without)
    read = parse_recipe(f"extends: demo\nname: demo\n{piece}", origin="extending")
    assert read == without.model_copy(update={"description": ""})
