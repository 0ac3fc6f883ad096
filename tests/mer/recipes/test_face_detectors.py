"""The face detectors that a recipe names."""

from __future__ import annotations

from mer.recipes import load_recipe, parse_recipe
from mer.recipes.face_detectors import named_detectors, quality_detector, with_settled_detectors

SEVERAL = """
name: several
streams:
  speech: {modality: acoustic, features: {source: "wheel:moonshine-tiny"}}
  crops: {modality: visual, features: {source: "crops:", frames: {detector: auto}}, encoder: "seed:clip-tiny", alignment: {}}
  vectors: {modality: visual, features: {source: "seed:clip-tiny", frames: {detector: haar, frames: 3}}}
  whole: {modality: visual, features: {source: "seed:clip-tiny"}}
  units: {modality: visual, features: {source: "files:units"}}
"""


def test_every_stream_is_settled_and_nothing_else_changes() -> None:
    recipe = parse_recipe(SEVERAL, origin="several")
    assert named_detectors(recipe) == ("auto", "haar")
    settled = with_settled_detectors(recipe, {"auto": "yunet:" + "0" * 64, "haar": "haar"}.__getitem__)
    assert named_detectors(settled) == ("yunet:" + "0" * 64, "haar")
    assert quality_detector(settled) == "yunet:" + "0" * 64
    assert (
        with_settled_detectors(settled, {"yunet:" + "0" * 64: "auto", "haar": "haar"}.__getitem__) == recipe
    )
    assert (
        parse_recipe(SEVERAL.replace("detector: auto", f"detector: 'yunet:{'0' * 64}'"), origin="several")
        == settled
    )


def test_a_recipe_without_detectors_is_itself() -> None:
    demo = load_recipe("demo")
    assert with_settled_detectors(demo, str.upper) is demo
    assert (named_detectors(demo), quality_detector(demo)) == ((), "auto")
    assert named_detectors(load_recipe("clips")) == ("auto",)
