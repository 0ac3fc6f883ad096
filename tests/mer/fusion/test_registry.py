"""Models by name: an installed package adds one through its metadata alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from mer.errors import ConfigError
from mer.fusion.config import BUILT_IN_MODELS, FusionConfig
from mer.fusion.interface import FusionModel, FusionShape, build_fusion, builder_of
from mer.fusion.registry import MODELS, fusion_implementations, given_builder, model_names

SHAPE = FusionShape({"acoustic": 3}, 2)
MODULE = """
from mer.fusion.interface import FusionModel, FusionOutput


class FirstStream(FusionModel):
    def __init__(self, shape, config):
        super().__init__(shape)
        self.add_heads(shape.widths[self.streams[0]], config)

    def fuse(self, inputs, masks):
        return self.decode(inputs[self.streams[0]], masks[self.streams[0]])


def no_model(shape, config):
    return None
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package as pip leaves it: a module, and a dist-info folder with its entry points."""
    (tmp_path / "tiny_fusion.py").write_text(MODULE)
    info = tmp_path / "tiny_fusion-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-fusion\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mer.fusion_models]\n"
        "first_stream = tiny_fusion:FirstStream\n"
        "no_model = tiny_fusion:no_model\n"
        "gone = tiny_fusion:NotThere\n"
        "concat = tiny_fusion:FirstStream\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("tiny_fusion", None)


def test_a_model_of_an_installed_package_is_found_by_name(installed: None) -> None:
    assert "first_stream" in model_names()
    model = build_fusion(SHAPE, FusionConfig(model="first_stream", valence_decoding="joint"))
    output = model({"acoustic": torch.ones(4, 3)}, {"acoustic": torch.ones(4, dtype=torch.bool)})
    assert output.emotion_logits.shape == (4, 2) and output.valence.shape == (4,)


def test_a_model_is_named_without_loading_it(installed: None) -> None:
    names = fusion_implementations("first_stream", "concat", "nobody has this")
    assert names == ("tiny_fusion:FirstStream", MODELS["concat"])
    assert "tiny_fusion" not in sys.modules


def test_it_is_unknown_where_the_package_is_not_installed() -> None:
    with pytest.raises(ValidationError, match=r"unknown fusion model 'first_stream'.*entry point group"):
        FusionConfig(model="first_stream")


def test_a_name_of_this_package_cannot_be_taken(installed: None) -> None:
    assert builder_of("concat").__module__ == "mer.fusion.models.concat"
    assert model_names().count("concat") == 1


def test_broken_packages_are_named(installed: None) -> None:
    with pytest.raises(ConfigError, match="expected a builder at 'tiny_fusion:NotThere'"):
        build_fusion(SHAPE, FusionConfig(model="gone"))
    with pytest.raises(ConfigError, match="expected its builder to give a FusionModel, found NoneType"):
        build_fusion(SHAPE, FusionConfig(model="no_model"))


@pytest.mark.parametrize("name", BUILT_IN_MODELS)
def test_every_built_in_name_has_a_model(name: str) -> None:
    assert isinstance(build_fusion(SHAPE, FusionConfig(model=name)), FusionModel)


def test_a_builder_that_is_given_is_known_only_while_it_is() -> None:
    assert "mine:Concat" not in model_names()
    with given_builder("mine:Concat", MODELS.load("concat")):
        assert model_names()[-1] == "mine:Concat"
        assert isinstance(build_fusion(SHAPE, FusionConfig(model="mine:Concat")), MODELS.load("concat"))
        with given_builder("mine:Concat", MODELS.load("late")):  # a class that a notebook defines anew
            assert isinstance(build_fusion(SHAPE, FusionConfig(model="mine:Concat")), MODELS.load("late"))
        assert isinstance(build_fusion(SHAPE, FusionConfig(model="mine:Concat")), MODELS.load("concat"))
    with pytest.raises(ValidationError, match="unknown fusion model 'mine:Concat'"):
        FusionConfig(model="mine:Concat")


def test_a_builder_that_is_given_cannot_take_a_name_of_this_package() -> None:
    with given_builder("concat", MODELS.load("late")):
        assert isinstance(build_fusion(SHAPE, FusionConfig(model="concat")), MODELS.load("concat"))
