"""The space around a recipe of several streams of a modality: every stream has options of its own."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from mer.recipes import Recipe
from mer.recipes.loading import parse_recipe
from mer.search.searched_recipe import whole_recipe
from mer.search.space import MOST_SUBSETS_OF, SearchSpace, search_space

optuna.logging.set_verbosity(optuna.logging.WARNING)
MODELS = ("attention", "concat")
RECIPE = parse_recipe(
    """
name: two-voices
acoustic:
  features: {source: a-folder}
  adaptation: {}
streams:
  whisper:
    modality: acoustic
    features: {source: another-folder, layers: all, pooling: mean}
  clip:
    modality: visual
    features: {source: "seed:clip-tiny"}
    alignment: {to: whisper}
    keep_unaligned: true
  crops:
    modality: visual
    features: {source: "crops:"}
    encoder: "seed:clip-tiny"
    alignment: {to: acoustic}
  pulse:
    modality: physiology
    features: {source: "files:pulse"}
  unread:
    modality: acoustic
    features: {source: a-third}
    adaptation: {}
fused_streams: [acoustic, whisper, clip, crops, pulse]
""",
    origin="mine.yaml",
)
STATES = {"acoustic": 7, "whisper": 13, "unread": 5}
READ = ("acoustic", "whisper", "clip", "crops", "pulse")


@pytest.fixture
def space() -> SearchSpace:
    return search_space(RECIPE, MODELS, states=STATES, valence=False)


def draws(space: SearchSpace, count: int) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    trials = [study.ask() for _ in range(count)]
    for trial in trials:
        space.draw(trial)
    return [dict(trial.params) for trial in trials]


def test_every_stream_that_is_read_has_options_of_its_own(space: SearchSpace) -> None:
    assert space.whole == {
        "acoustic.block_start": (0, 6), "acoustic.block_length": (1, 4),
        "whisper.block_start": (0, 12), "whisper.block_length": (1, 4),
    }  # fmt: skip
    of_streams = {name: set(values) for name, values in space.choices.items() if "." in name}
    assert of_streams == {
        "acoustic.adaptation": {"frozen+adapted", "frozen", "adapted"},
        "acoustic.pooling": {"mean_std", "mean"},
        "clip.alignment": {"unaligned+aligned", "unaligned", "aligned"},
        **{f"{name}.fused": {"fused", "left out"} for name in READ},
    }
    assert "streams" not in space.choices


def test_of_few_streams_every_subset_is_a_choice() -> None:
    few = RECIPE.model_copy(update={"fused_streams": READ[:MOST_SUBSETS_OF]})
    subsets = search_space(few, MODELS, states=STATES, valence=False).choices["streams"]
    assert len(subsets) == 2**MOST_SUBSETS_OF - 1 and subsets[0] == "+".join(READ[:MOST_SUBSETS_OF])


def test_a_choice_changes_the_stream_it_names_and_no_other(space: SearchSpace) -> None:
    params = {"whisper.block_start": 11, "whisper.block_length": 4}
    found = space.recipe_of(params)
    assert found.streams["whisper"].read.states(None) == (11, 12), "a block ends with the encoder"
    left_out = {f"{name}.fused": "left out" for name in READ}
    assert space.recipe_of(left_out).reads == READ, "nothing is no choice"
    params = {"acoustic.adaptation": "adapted", "clip.alignment": "unaligned"}
    params |= left_out | {"whisper.fused": "fused", "pulse.fused": "fused"}
    found = space.recipe_of(params)
    changed = {name for name in RECIPE.streams if found.streams[name] != RECIPE.streams[name]}
    assert changed == {"acoustic", "clip"} and found.reads == ("whisper", "pulse")
    assert not found.streams["acoustic"].keep_frozen and not found.streams["clip"].keep_aligned
    assert space.recipe_of({}) == RECIPE


def test_every_choice_is_a_recipe(space: SearchSpace) -> None:
    read: dict[str, set[Any]] = {"acoustic": set(), "whisper": set()}
    for params in draws(space, 20):
        found = space.recipe_of(params)
        assert parse_recipe(whole_recipe(found, []), origin="written") == found
        fused = tuple(name for name in READ if params[f"{name}.fused"] == "fused")
        assert found.reads == (fused or READ)
        assert found.streams["unread"] == RECIPE.streams["unread"]
        for name, states in read.items():
            block = found.streams[name].read.states(None)
            assert block is not None and block[0] == params[f"{name}.block_start"]
            assert block[-1] < STATES[name]
            states.add(block)
    assert all(len(states) > 5 for states in read.values())


def test_the_recipe_itself_is_a_choice(space: SearchSpace) -> None:
    defaults = space.defaults({"acoustic": [2, 3, 2], "whisper": [9, 9, 12]})
    assert (defaults["acoustic.block_start"], defaults["whisper.block_start"]) == (2, 9)
    found = space.recipe_of(defaults)
    for name in ("acoustic", "whisper"):
        assert (
            found.streams[name].model_copy(update={"read": RECIPE.streams[name].read}) == RECIPE.streams[name]
        )
    assert found.reads == RECIPE.reads
    study = optuna.create_study()
    study.enqueue_trial(defaults)
    trial = study.ask()
    space.draw(trial)  # a value outside the space would be a warning, which is an error here
    assert {option: trial.params[option] for option in defaults} == defaults
    own = RECIPE.with_stream(
        "whisper", read=RECIPE.streams["whisper"].read.model_copy(update={"start": 4, "length": 2})
    )
    assert (
        search_space(own, MODELS, states=STATES, valence=False).defaults({"acoustic": [1]})[
            "whisper.block_start"
        ]
        == 4
    )


def test_only_states_that_are_stored_are_searched(space: SearchSpace) -> None:
    one = search_space(RECIPE, MODELS, states={"whisper": 13}, valence=False)
    assert set(one.whole) == {"whisper.block_start", "whisper.block_length"}
    assert one.describe() != space.describe()
    fewer = search_space(RECIPE, MODELS, states={**STATES, "unread": 9}, valence=False)
    assert fewer.describe() == space.describe(), "what is not read makes no difference"
    frames = Recipe.model_validate(RECIPE.model_dump() | {"fusion": {"level": "frames"}})
    of_frames = search_space(frames, MODELS, states=STATES, valence=False)
    assert not of_frames.whole
    assert set(of_frames.choices["clip.alignment"]) == {"unaligned+aligned", "unaligned"}
