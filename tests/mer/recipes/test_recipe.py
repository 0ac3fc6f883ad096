"""Recipes: the built-in ones load, misspelt options are refused with all problems at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mer.errors import ConfigError
from mer.recipes import load_recipe, recipe_names
from mer.recipes.loading import parse_recipe
from mer.recipes.recipe import Recipe


@pytest.mark.parametrize("name", recipe_names())
def test_built_in_recipes_load_and_survive_json(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nlexical: {features: {modality: lexical, source: 'wheel:all-minilm-l6-v2'}}\n"
    )
    assert tuple(load_recipe(str(path)).streams) == ("lexical",)


def test_all_problems_are_reported_together() -> None:
    text = "name: x\nfusion: {hiden: 3, dropout: 7}\nlexical: {features: {modality: lexical, source: s}}\n"
    with pytest.raises(ConfigError) as caught:
        parse_recipe(text, origin="mine.yaml")
    assert "fusion.hiden" in str(caught.value)
    assert "fusion.dropout" in str(caught.value)


TEXT = "name: x\nlexical: {features: {modality: lexical, source: s}}\n"


def test_a_member_of_an_ensemble_is_the_recipes_fusion_with_its_own_options() -> None:
    recipe = parse_recipe(
        TEXT + "fusion: {hidden: 32, epochs: 7}\n"
        "ensemble: {members: {S1: {model: afg_early}, other: {seed: 5, hidden: 16}}}\n",
        origin="mine.yaml",
    )
    first, other = recipe.member_fusions.values()
    assert (first.model, first.hidden, first.epochs, first.seed) == ("afg_early", 32, 7, recipe.fusion.seed)
    assert (other.model, other.hidden, other.epochs, other.seed) == (recipe.fusion.model, 16, 7, 5)
    assert recipe.serves_ensemble
    assert parse_recipe(TEXT, origin="mine.yaml").member_fusions == {}
    assert not parse_recipe(TEXT, origin="mine.yaml").serves_ensemble


def test_the_recipe_of_all_systems_has_a_part_of_each() -> None:
    """A: adapted speech, aligned face. B: the audio-guided transformer, pseudo-labels, the prior-weighted vote. C: gathering."""
    recipe = load_recipe("best")
    assert recipe.adapts == ("acoustic",) and recipe.anchors == {"visual": "acoustic"}
    assert recipe.reads == ("acoustic", "visual", "lexical")
    models = {fusion.model for fusion in recipe.member_fusions.values()}
    assert {"audio_guided", "afg_hierarchical"} < models
    assert {fusion.level for fusion in recipe.member_fusions.values()} == {"utterance", "frames"}
    assert recipe.pseudo_labels is not None and recipe.label_shift.mode == "correct-if-shifted"
    assert recipe.serves_ensemble and recipe.ensemble is not None
    assert recipe.ensemble.weighting == "log_pool" and recipe.ensemble.calibrate


def test_an_ensemble_may_be_scored_only() -> None:
    text = TEXT + "ensemble: {serve: false, members: {S1: {model: afg_early}, S2: {}}}\n"
    recipe = parse_recipe(text, origin="mine.yaml")
    assert len(recipe.member_fusions) == 2 and not recipe.serves_ensemble


@pytest.mark.parametrize(
    ("ensemble", "complaint"),
    [
        ("{members: {S1: {model: afg_early}}}", "at least 2"),
        ("{members: {S1: {modell: afg_early}, S2: {}}}", "modell"),
        ("{members: {S1: {model: nonsense}, S2: {}}}", "unknown fusion model 'nonsense'"),
        ("{members: {S1: {}, S2: {}}, weighting: loud}", "entropy"),
    ],
)
def test_ensembles_that_cannot_work_are_refused(ensemble: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_recipe(TEXT + f"ensemble: {ensemble}\n", origin="mine.yaml")


@pytest.mark.parametrize(
    ("option", "mode"),
    [
        ("", "report"),
        ("label_shift: off\n", "off"),
        ("label_shift: correct-if-shifted\n", "correct-if-shifted"),
        ("label_shift: {mode: correct-if-shifted, estimator: bbse_soft}\n", "correct-if-shifted"),
    ],
)
def test_label_shift_may_be_its_mode_alone(option: str, mode: str) -> None:
    recipe = parse_recipe(TEXT + option, origin="mine.yaml")
    assert recipe.label_shift.mode == mode
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_label_shift_that_cannot_work_is_refused() -> None:
    for option in ("label_shift: always\n", "label_shift: {mode: report, estimatr: em}\n"):
        with pytest.raises(ConfigError, match="label_shift"):
            parse_recipe(TEXT + option, origin="mine.yaml")


SPEECH = """
name: x
acoustic:
  features: {modality: acoustic, source: s, %s}
"""


def test_a_block_of_hidden_states_may_be_read() -> None:
    text = SPEECH % "pooling: mean_std" + "  read: {start: 2, length: 3, pooling: mean}\n"
    stream = parse_recipe(text, origin="mine.yaml").streams["acoustic"]
    assert stream.read.states(studied=5) == (2, 3, 4)
    plain = parse_recipe(SPEECH % "pooling: mean", origin="mine.yaml").streams["acoustic"]
    assert plain.read.states(studied=5) == (5,)
    assert plain.read.states(studied=None) is None


@pytest.mark.parametrize(
    ("features", "option", "complaint"),
    [
        ("layers: output", "read: {start: 2}", "layers: all"),
        ("pooling: mean", "read: {pooling: mean_std}", "no deviations"),
        ("layers: all", "read: {length: 2}", "start"),
        ("layers: all", "keep_frozen: false\n  keep_adapted: false", "nothing would be read"),
    ],
)
def test_readings_that_cannot_work_are_refused(features: str, option: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_recipe(SPEECH % features + f"  {option}\n", origin="mine.yaml")


def test_further_speeds_are_ordinary_features_that_need_no_adaptation() -> None:
    stream = parse_recipe(SPEECH % "layers: all" + "  speeds: [0.9, 1.1]\n", origin="mine.yaml").streams[
        "acoustic"
    ]
    assert stream.frozen_speeds == (0.9, 1.1) and stream.further_speeds == ()
    plain, slow, fast = stream.feature_variants
    assert plain == stream.features
    assert [one.audio.speed for one in (slow, fast)] == [0.9, 1.1]
    assert slow == stream.features.at_speed(0.9)
    assert parse_recipe(SPEECH % "layers: all", origin="x").streams["acoustic"].feature_variants == (plain,)


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        (
            "{modality: acoustic, source: 'files:hubert-UTT'}",
            r"expected sound that is decoded here, found .*files:hubert-UTT",
        ),
        ("{modality: acoustic, source: s, audio: {speed: 1.9}}", r"0.5 to 2 times .*, found 1.1 times 1.9"),
    ],
)
def test_speeds_that_no_sound_has_are_refused(features: str, complaint: str) -> None:
    text = f"name: mine\nacoustic:\n  features: {features}\n  speeds: [0.9, 1.1]\n"
    with pytest.raises(ConfigError, match=complaint):
        parse_recipe(text, origin="mine.yaml")


def test_variants_to_learn_from_are_numbered_through() -> None:
    text = SPEECH % "layers: all" + (
        "  adaptation: {}\n  adapted_speeds: [0.9, 1.1]\n"
        "  adaptation_variants: {count: 2, seed: 5, augmentations: [{min_snr_db: 0}, {speeds: [0.95]}]}\n"
    )
    stream = parse_recipe(text, origin="mine.yaml").streams["acoustic"]
    assert stream.further_speeds == (0.9, 1.1)
    variants = stream.augmented_variants
    assert [(one.variant, one.seed, one.augmentation.speeds) for one in variants] == [
        (0, 5, (0.9, 1.1)), (1, 5, (0.9, 1.1)), (2, 5, (0.95,)), (3, 5, (0.95,)),
    ]  # fmt: skip
    assert len({stream.features.augmented(one).key("w") for one in variants}) == 4


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("adaptation_variants: {}", "adaptation_variants: expected `adaptation` as well"),
        ("adapted_speeds: [0.9]", "adapted_speeds: expected `adaptation` as well"),
        ("adapted_posteriors: {folds: 3}", "adapted_posteriors: expected `adaptation` as well"),
        ("adaptation: {}\n  adapted_posteriors: {folds: 1}", "greater than or equal to 2"),
        ("adaptation: {}\n  adapted_speeds: [0.9, 0.9]", "different speeds"),
        ("adaptation: {}\n  adapted_speeds: [1.0]", "different speeds"),
        ("adaptation: {}\n  adapted_speeds: [9]", "less than or equal to 2"),
        ("speeds: [0.9, 0.9]", "speeds: expected different speeds"),
        ("speeds: [1]", "speeds: expected different speeds other than 1"),
        ("speeds: [3]", "less than or equal to 2"),
        ("adaptation: {}\n  adaptation_variants: {augmentations: []}", "at least 1"),
    ],
)
def test_variants_that_cannot_work_are_refused(option: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_recipe(SPEECH % "layers: all" + f"  {option}\n", origin="mine.yaml")


def test_fused_streams_must_be_there() -> None:
    both = TEXT + "visual: {features: {modality: visual, source: s}}\n"
    recipe = parse_recipe(both + "fused_streams: [lexical]\n", origin="mine.yaml")
    assert (tuple(recipe.streams), recipe.reads) == (("visual", "lexical"), ("lexical",))
    assert parse_recipe(both, origin="mine.yaml").reads == ("visual", "lexical")
    with pytest.raises(ConfigError, match="acoustic"):
        parse_recipe(both + "fused_streams: [acoustic]\n", origin="mine.yaml")
    with pytest.raises(ConfigError, match="crops"):
        parse_recipe(
            "name: x\nvisual: {features: {modality: visual, source: 'crops:'}, keep_aligned: false}\n",
            origin="mine.yaml",
        )


@pytest.mark.parametrize(
    "text",
    [
        "- a list",
        "name: x",
        "a: !!python/object/apply:os.system ['true']",
        "name: [unclosed",
        "name: x\nemotions: klingon",
    ],
)
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_recipe(text, origin="mine.yaml")


def test_an_anchor_bomb_is_refused_at_once() -> None:
    """Nine levels of nine references each: a billion values if anything wrote them out."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    started = time.monotonic()
    for text in ("\n".join(lines), "\n".join([*lines, "name: x", "emotions: *a9"])):
        with pytest.raises(ConfigError) as caught:
            parse_recipe(text, origin="mine.yaml")
        assert len(str(caught.value)) < 10_000
    assert time.monotonic() - started < 5


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match="demo"):
        load_recipe("nope")


def test_recipes_load_without_torch() -> None:
    code = (
        "import sys; from mer.recipes import load_recipe; load_recipe('demo'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
