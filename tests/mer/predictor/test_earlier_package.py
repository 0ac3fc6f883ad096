"""Packages of 0.1.0 and 0.2.0: what they held of each stream is found again, in the folders they have."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from mer.errors import WeightsError
from mer.predictor.package import ModelPackage, ServedStream
from mer.recipes import LexicalStream, Recipe
from mer.recipes.loading import parse_recipe

HERE = Path(__file__).parent
RECORDS = {version: HERE / f"package_{name}.json" for version, name in
           (("0.1.0", "before_ensembles"), ("0.2.0", "of_0_2_0"))}  # fmt: skip
"""As those versions wrote them."""
# The options of the alignment are the defaults of that time: a record keeps what its version had.
TOWERS = """
name: towers
emotions: [angry, happy, sad]
acoustic:
  features: {source: "wheel:moonshine-tiny"}
  adaptation: {rank: 2}
  adapted_speeds: [0.9]
  keep_adapted: false
visual:
  features: {source: "seed:clip-tiny"}
  adaptation: {rank: 2}
  block: [2, 4]
  keep_frozen: false
  alignment: {epochs: 3, anchor_components: 64, dropout: 0.2, hidden_size: 256, standardise_anchor: none}
  keep_unaligned: true
lexical:
  features: {source: "wheel:all-minilm-l6-v2", recogniser: "wheel:moonshine-tiny"}
  adaptation: {}
  block: [4, 6]
fused_streams: [visual, lexical]
"""


@pytest.fixture
def record() -> dict[str, Any]:
    """That of 0.2.0: three adapted encoders, one of them for nothing any more, and an alignment."""
    values: dict[str, Any] = json.loads(RECORDS["0.2.0"].read_text(encoding="utf-8"))
    return values


def parsed(record: dict[str, Any], **changes: Any) -> ModelPackage:
    values = deepcopy(record)
    for path, value in changes.items():
        *steps, last = path.split("__")
        target = values
        for step in steps:
            target = target[step]
        target[last] = value
    return ModelPackage.parse(json.dumps(values))


@pytest.mark.parametrize("version", RECORDS)
def test_a_record_reads_and_is_then_one_of_todays(version: str, tmp_path: Path) -> None:
    text = RECORDS[version].read_text(encoding="utf-8")
    package = ModelPackage.parse(text)
    was = json.loads(text)
    assert (package.system, package.temperature) == (was["system"], was["temperature"])
    assert list(package.recipe.emotions) == was["recipe"]["emotions"]
    assert set(package.streams) <= set(package.recipe.streams)
    package.write(tmp_path)
    assert ModelPackage.read(tmp_path) == package == ModelPackage.parse(package.model_dump_json().encode())


def test_the_recipe_is_the_one_of_the_same_text(record: dict[str, Any]) -> None:
    package = parsed(record)
    assert package.recipe == parse_recipe(TOWERS, origin="mine.yaml")
    assert package.recipe.anchors == {"visual": "acoustic"} and package.recipe.reads == ("visual", "lexical")
    assert package.generations == ("a" * 64,)


def test_everything_that_was_learnt_keeps_its_folder(record: dict[str, Any]) -> None:
    assert parsed(record).streams == {
        "acoustic": ServedStream(read_layer=3),
        "visual": ServedStream(block=(2, 4), adapter="adapters/visual", alignment="alignment"),
        "lexical": ServedStream(block=(4, 6), adapter="adapters/lexical"),
    }
    speech = parsed(record, recipe__fused_streams=None, recipe__acoustic__keep_adapted=True, block=[3, 5])
    assert speech.served("acoustic") == ServedStream(read_layer=3, block=(3, 5), adapter="adapter")


def test_an_alignment_that_was_not_packaged_is_not_looked_for(record: dict[str, Any]) -> None:
    assert parsed(record, recipe__visual__keep_aligned=False).served("visual").alignment is None
    assert parsed(record, recipe__visual__alignment=None).served("visual").alignment is None
    alone = parsed(record, recipe__acoustic=None, read_layer=None)
    assert alone.served("visual").alignment is None, "there was no speech to align to"
    assert "acoustic" not in alone.streams
    unread = parsed(record, recipe__fused_streams=["lexical"], tower_blocks={"lexical": [4, 6]})
    assert unread.served("visual") == ServedStream()


def test_an_option_that_never_was_is_still_refused(record: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="layer_read"):
        ModelPackage.parse(json.dumps(record | {"layer_read": 3}))


def test_what_is_not_stated_of_a_stream_is_nothing(record: dict[str, Any]) -> None:
    assert parsed(record).served("nobody") == ServedStream()
    text = parsed(record).recipe.streams["lexical"]
    assert isinstance(text, LexicalStream) and text.features.recogniser == "wheel:moonshine-tiny"


def test_names_that_were_allowed_once_are_read(record: dict[str, Any]) -> None:
    members = {"members": {"S1: early": {"hidden": 8}, "../b": {"seed": 2}}}
    package = parsed(record, recipe__name="my model/v2", recipe__ensemble=members)
    assert package.recipe.name == "my model/v2" and tuple(package.recipe.member_fusions) == tuple(
        members["members"]
    )
    with pytest.raises(ValueError, match="name of the recipe"):
        Recipe.model_validate(package.recipe.model_dump())
