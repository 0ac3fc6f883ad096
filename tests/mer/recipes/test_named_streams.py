"""Any number of named streams: their order, modalities, names, alignments, and the short form of one of each modality."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from mer.errors import ConfigError
from mer.recipes import AcousticStream, LexicalStream, PrecomputedStream, Recipe, VisualStream, load_recipe
from mer.recipes.layer_reading import has_layers
from mer.recipes.loading import parse_recipe
from mer.recipes.stream_names import RESERVED_NAMES

SPEECH = {"modality": "acoustic", "features": {"source": "some-folder"}}
FACE = {"modality": "visual", "features": {"source": "seed:clip-tiny"}}
CROPS = {"modality": "visual", "features": {"source": "crops:"}}
WORDS = {"modality": "lexical", "features": {"source": "another-folder"}}
PULSE = {"modality": "physiology", "features": {"source": "files:pulse"}}
STREAMS: dict[str, Any] = {
    "moonshine": SPEECH, "hubert": SPEECH, "clip": FACE, "text": WORDS, "pulse": PULSE, "gaze": {**PULSE, "modality": "gaze"},
}  # fmt: skip


def recipe_of(streams: dict[str, Any], **more: Any) -> Recipe:
    """The recipe as its YAML text gives it, which is JSON here."""
    import json

    return parse_recipe(json.dumps({"name": "x", "streams": streams, **more}), origin="mine.yaml")


def aligned(stream: dict[str, Any], **alignment: Any) -> dict[str, Any]:
    return {**stream, "alignment": {"epochs": 1, **alignment}}


def test_the_order_in_the_file_decides_nothing() -> None:
    made = {recipe_of(dict(order)).model_dump_json() for order in permutations(STREAMS.items())}
    assert len(made) == 1
    recipe = recipe_of(STREAMS)
    assert tuple(recipe.streams) == recipe.reads == ("hubert", "moonshine", "clip", "text", "gaze", "pulse")
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe and tuple(again.streams) == tuple(recipe.streams)
    some = recipe_of(STREAMS, fused_streams=["pulse", "moonshine"])
    assert some.reads == ("moonshine", "pulse") and len(some.streams) == len(STREAMS)


def test_the_modality_is_said_beside_or_within_the_features_or_by_the_name() -> None:
    source = {"source": "s"}
    ways = (
        {"acoustic": {"features": source}},
        {"acoustic": {"modality": "acoustic", "features": source}},
        {"acoustic": {"features": {"modality": "acoustic", **source}}},
        {"acoustic": {"modality": "acoustic", "features": {"modality": "acoustic", **source}}},
    )
    made = [recipe_of(way) for way in ways]
    made.append(parse_recipe("name: x\nacoustic: {features: {source: s}}\n", origin="mine.yaml"))
    assert all(recipe == made[0] for recipe in made)
    (stream,) = made[0].streams.values()
    assert isinstance(stream, AcousticStream) and stream.features.layers == "all", "defaults of speech"
    kinds = {name: type(stream) for name, stream in recipe_of(STREAMS).streams.items()}
    assert kinds == {
        "hubert": AcousticStream, "moonshine": AcousticStream, "clip": VisualStream, "text": LexicalStream,
        "gaze": PrecomputedStream, "pulse": PrecomputedStream,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("streams", "complaint"),
    [
        ({"a": {"features": {"source": "s"}}}, r"streams\.a: expected `modality:`.*found none"),
        ({"a": {**SPEECH, "features": {"modality": "visual", "source": "s"}}}, "found 'acoustic' and in features 'visual'"),
        ({"acoustic": FACE}, r"streams\.acoustic: expected modality acoustic, found visual; give the stream another name"),
        ({"lexical": PULSE}, "expected modality lexical, found physiology"),
        ({"a": {**PULSE, "features": {"source": "some-folder"}}}, "found 'physiology' with source 'some-folder'"),
        ({"a": {**PULSE, "adaptation": {}}}, "expected features of an encoder"),
        ({"a": {**PULSE, "encoder": "seed:clip-tiny"}}, "encoder"),
        ({"a": {**FACE, "adapted_speeds": [0.9]}}, "adapted_speeds"),
        ({"a": {**SPEECH, "label_words": ["a"]}}, "label_words"),
        ({"a": SPEECH, "b": {**WORDS, "adaptation": {}, "label_words": ["one"]}}, r"streams\.b\.label_words: expected 6"),
        ({"a": "acoustic"}, r"streams\.a"),
        ({"a": {**SPEECH, "modality": "Speech!"}}, "modality"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(streams: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        recipe_of(streams)


def test_the_parsed_features_may_not_contradict_the_modality_either() -> None:
    features = recipe_of({"a": SPEECH}).streams["a"].features
    made = Recipe.model_validate({"name": "x", "streams": {"a": {"features": features}}})
    assert isinstance(made.streams["a"], AcousticStream)
    with pytest.raises(ValueError, match="found 'visual' and in features 'acoustic'"):
        Recipe.model_validate({"name": "x", "streams": {"a": {"modality": "visual", "features": features}}})


@pytest.mark.parametrize(
    "name",
    [*RESERVED_NAMES, "", "a/b", "../../x", "a.b", "a+b", "-a", "_a", "a b", "a\nb", "[red]a", "é", "x" * 33, "x" * 10_000],
)  # fmt: skip
def test_names_that_would_be_taken_for_something_else_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected names of 1 to 32") as caught:
        Recipe.model_validate({"name": "x", "streams": {name: SPEECH}})
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["1", "yes", "null", "2.5"])
def test_names_that_yaml_reads_as_no_text_are_refused(name: str) -> None:
    speech = "{modality: acoustic, features: {source: some-folder}}"
    with pytest.raises(ConfigError, match="Input should be a valid string"):
        parse_recipe(f"streams: {{{name}: {speech}, a: {speech}}}", origin="mine.yaml")


@pytest.mark.parametrize("name", ["a", "W2", "x" * 32, "wav2vec-large_960"])
def test_other_names_are_taken(name: str) -> None:
    assert tuple(recipe_of({name: SPEECH}).streams) == (name,)


def test_a_stream_is_named_once() -> None:
    twice = {"acoustic": {"features": {"source": "s"}}}
    with pytest.raises(ConfigError, match="found acoustic below `streams` and at the top as well"):
        recipe_of({"acoustic": SPEECH}, **twice)
    with pytest.raises(ValueError, match="expected every stream once, found acoustic in the short form too"):
        Recipe.model_validate({"name": "x", "streams": {"acoustic": SPEECH}, **twice})
    both = recipe_of({"whisper": SPEECH}, acoustic={"features": {"source": "s"}}, visual=None)
    assert tuple(both.streams) == ("acoustic", "whisper")
    with pytest.raises(ConfigError, match="at least one stream"):
        recipe_of({}, acoustic=None)


def test_fusions_call_a_stream_by_its_modality_and_name() -> None:
    recipe = recipe_of({**STREAMS, "acoustic": SPEECH, "physiology": PULSE})
    tables = {name: recipe.table_name(name) for name in recipe.streams}
    assert tables == {
        "acoustic": "acoustic", "hubert": "acoustic/hubert", "moonshine": "acoustic/moonshine", "clip": "visual/clip",
        "text": "lexical/text", "gaze": "gaze", "physiology": "physiology", "pulse": "physiology/pulse",
    }  # fmt: skip
    modalities = {name: table.partition("/")[0] for name, table in tables.items()}
    assert modalities == {name: stream.modality for name, stream in recipe.streams.items()}
    assert len(set(tables.values())) == len(tables)


@pytest.mark.parametrize(
    ("streams", "anchors"),
    [
        ({"a": SPEECH, "f": aligned(FACE)}, {"f": "a"}),
        ({"a": SPEECH, "b": SPEECH, "f": aligned(FACE, to="b")}, {"f": "b"}),
        ({"a": SPEECH, "f": aligned(FACE), "t": aligned(WORDS, to="f")}, {"f": "a", "t": "f"}),
        ({"a": SPEECH, "b": aligned(SPEECH)}, {"b": "a"}),
        ({"a": SPEECH, "p": aligned(PULSE)}, {"p": "a"}),
        ({"f": aligned(FACE, to="t"), "t": WORDS}, {"f": "t"}),
        ({"a": SPEECH, "f": FACE}, {}),
    ],
)
def test_a_stream_is_aligned_to_the_one_it_names_or_to_the_only_speech(
    streams: dict[str, Any], anchors: dict[str, str]
) -> None:
    recipe = recipe_of(streams)
    assert recipe.anchors == anchors
    for name in anchors:
        alignment = recipe.streams[name].alignment
        assert alignment is not None and "to" not in alignment.training.model_dump()
        assert alignment.training.epochs == 1


@pytest.mark.parametrize(
    ("streams", "complaint"),
    [
        (
            {"a": SPEECH, "b": SPEECH, "f": aligned(FACE)},
            r"streams\.f\.alignment\.to: .*one of a, b, found none",
        ),
        ({"a": SPEECH, "f": aligned(FACE, to="whisper")}, "expected one of a, found 'whisper'"),
        ({"a": SPEECH, "f": aligned(FACE, to="f")}, "expected one of a, found 'f'"),
        ({"f": aligned(FACE, to="f")}, "expected one of several streams"),
        ({"f": aligned(FACE), "t": WORDS}, r"found no acoustic one; name another by `to` \(t\), or leave"),
        (
            {"a": aligned(SPEECH, to="f"), "f": CROPS},
            "expected a stream of vectors, found 'f', whose features are face crops",
        ),
    ],
)
def test_an_alignment_that_leads_nowhere_is_refused(streams: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        recipe_of(streams)


@pytest.mark.parametrize("lacking", ["alignment", "encoder"])
def test_face_crops_are_fused_only_where_an_encoder_makes_vectors_of_them(lacking: str) -> None:
    """Through the alignment that trains it or, with `keep_unaligned`, as its source gives it."""
    load_recipe("acoustic_adaptation").require_vectors()
    load_recipe("acoustic_adaptation", ["visual.alignment=null"]).require_vectors()
    recipe = load_recipe("acoustic_adaptation", ["visual.keep_unaligned=false", f"visual.{lacking}=null"])
    with pytest.raises(ConfigError, match=rf"streams\.visual: expected face crops .* found no {lacking};"):
        recipe.require_vectors()


def test_a_guide_is_a_modality_and_no_stream() -> None:
    streams = {"hubert": SPEECH, "pulse": PULSE}
    assert (
        recipe_of(streams, fusion={"audio_guided": {"guide": "physiology"}}).fusion.audio_guided.guide
        == "physiology"
    )
    with pytest.raises(
        ConfigError, match=r"expected a modality of the streams \(acoustic, physiology\), found 'hubert'"
    ):
        recipe_of(streams, fusion={"audio_guided": {"guide": "hubert"}})
    members = {"members": {"a": {}, "b": {"audio_guided": {"guide": "pulse"}}}}
    with pytest.raises(ConfigError, match="found 'pulse'"):
        recipe_of(streams, ensemble=members)
    assert recipe_of({"pulse": PULSE}).fusion.audio_guided.guide == "acoustic", (
        "the default may have no stream"
    )
    heard = {**WORDS, "features": {**WORDS["features"], "recogniser": "wheel:moonshine-tiny"}}
    recipe = recipe_of(
        {
            "a": {**SPEECH, "adaptation": {}},
            "b": SPEECH,
            "t": heard,
            "u": heard,
            "v": {**WORDS, "adaptation": {}},
        }
    )
    assert recipe.recognisers == ("wheel:moonshine-tiny",), "each is heard once"
    assert recipe.adapts == ("a", "v")
    assert recipe.needs_sound and not recipe_of({"t": WORDS, "p": PULSE}).needs_sound
    files = {"modality": "acoustic", "features": {"source": "files:voice"}}
    assert not recipe_of({"a": files}).needs_sound and recipe_of({"a": files, "b": SPEECH}).needs_sound
    assert not recipe_of({"a": SPEECH}, require_audio=False).needs_sound
    with pytest.raises(ConfigError, match=r"expected one of its streams \(a, b, t, u, v\), found 'acoustic'"):
        recipe.stream("acoustic")
    changed = recipe.with_stream("b", keep_frozen=False)
    assert not changed.streams["b"].keep_frozen and tuple(changed.streams) == tuple(recipe.streams)
    assert {name for name in recipe.streams if changed.streams[name] != recipe.streams[name]} == {"b"}


def test_streams_with_an_encoder_have_layers() -> None:
    recipe = load_recipe("demo")
    assert all(has_layers(stream) for stream in recipe.streams.values())
    without = {"p": PULSE, "f": {"modality": "visual", "features": {"source": "crops:"}}}
    assert not any(has_layers(stream) for stream in recipe_of(without).streams.values())


@pytest.mark.parametrize("modality", ["acoustic", "visual", "lexical"])
def test_the_options_of_every_stream_are_those_of_every_modality(modality: str) -> None:
    """Layers read, parts kept, alignment: nothing is for speech alone."""
    features = {"source": "some-folder", "layers": "all", "pooling": "mean_std"}
    stream = recipe_of(
        {
            "s": {
                "modality": modality, "features": features, "adaptation": {}, "keep_adapted": False,
                "read": {"start": 2, "length": 3, "pooling": "mean"}, "alignment": {"to": "a"}, "keep_unaligned": True,
            },
            "a": {"modality": "acoustic", "features": {"source": "files:voice"}},
        }
    ).streams["s"]  # fmt: skip
    assert stream.read.states(studied=None) == (2, 3, 4)
    assert (stream.keep_adapted, stream.keep_unaligned, stream.named_block) == (False, True, None)


@pytest.mark.parametrize("names", [("Voice", "voice"), ("far_field", "far-field")])
def test_names_of_streams_differ_in_more_than_case_and_dashes(names: tuple[str, str]) -> None:
    with pytest.raises(
        ConfigError, match="expected names that differ in more than case, - and _, found"
    ) as refused:
        recipe_of(dict.fromkeys(names, SPEECH))
    assert all(name in str(refused.value) for name in names)


@pytest.mark.parametrize(
    ("absent", "left", "anchors"),
    [
        (["visual"], ("acoustic", "lexical"), {}),
        (["lexical"], ("acoustic", "visual"), {"visual": "acoustic"}),
        (["acoustic"], ("visual", "lexical"), {}),
    ],
)
def test_a_recipe_without_streams_has_no_alignment_to_them(
    absent: list[str], left: tuple[str, ...], anchors: dict[str, str]
) -> None:
    recipe = load_recipe("demo").model_copy(update={"fused_streams": ("acoustic", "visual", "lexical")})
    reduced = recipe.without_streams(absent)
    assert (tuple(reduced.streams), reduced.reads, reduced.fused_streams) == (left, left, left)
    assert reduced.anchors == anchors
    assert all(stream.alignment is None for name, stream in reduced.streams.items() if name not in anchors)
