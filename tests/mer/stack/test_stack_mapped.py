"""Models of installed packages in a stack: as they are where they keep to the contract, refused with the reason otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from stacked_clips import CLASSES, WIDTHS, made

from mer.errors import ConfigError
from mer.fusion.config import BUILT_IN_MODELS, FusionConfig
from mer.fusion.interface import FusionShape
from mer.stack.dropout import Place
from mer.stack.models import build_stacked, stackable_models
from mer.stack.train import train_stack

MODULE = """
import torch
from torch import nn
from mer.fusion.models.gathering import Gathering
from mer.fusion.interface import FusionModel
from mer.training.seeding import SeededDropout


class Tokens(FusionModel):
    '''Drops encoded tokens of all streams, and the fused vector.'''
    reads_frames = True

    def __init__(self, shape, config):
        super().__init__(shape)
        self.encoders = nn.ModuleDict({name: nn.Linear(width, config.hidden) for name, width in shape.widths.items()})
        self.inner, self.outer = SeededDropout(config.dropout), SeededDropout(config.dropout)
        self.gathering = Gathering(config.hidden)
        self.add_heads(config.hidden, config)

    def fuse(self, inputs, masks):
        tokens = torch.cat([self.encoders[name](inputs[name]) for name in self.streams], dim=1)
        mask = torch.cat([masks[name][..., 0] for name in self.streams], dim=1)
        fused, alpha = self.gathering(self.inner(tokens), mask)
        return self.decode(self.outer(fused), alpha)


class Branching(Tokens):
    '''Looks at its values to decide: cannot be mapped over models.'''

    def fuse(self, inputs, masks):
        output = super().fuse(inputs, masks)
        return output if float(output.valence.detach().sum()) < 1e9 else output._replace(valence=-output.valence)


class OwnDraws(Tokens):
    def __init__(self, shape, config):
        super().__init__(shape, config)
        self.inner = nn.Dropout(config.dropout)


class AcrossClips(Tokens):
    def __init__(self, shape, config):
        super().__init__(shape, config)
        self.norm = nn.BatchNorm1d(config.hidden)


class OwnForward(Tokens):
    def forward(self, inputs, present):
        return super().forward(inputs, present)


class OtherPlace(Tokens):
    def fuse(self, inputs, masks):
        output = super().fuse(inputs, masks)
        longest = max(mask.shape[1] for mask in masks.values())
        self.inner(torch.zeros(len(output.valence), longest, 2))
        return output


class OtherRate(Tokens):
    def __init__(self, shape, config):
        super().__init__(shape, config.model_copy(update={"dropout": config.dropout / 2}))


class Stateful(Tokens):
    def __init__(self, shape, config):
        super().__init__(shape, config)
        self.register_buffer("seen", torch.zeros(1))
"""
NAMES = {
    "tokens": "Tokens", "branching": "Branching", "own_draws": "OwnDraws", "across": "AcrossClips",
    "own_forward": "OwnForward", "other_place": "OtherPlace", "other_rate": "OtherRate", "stateful": "Stateful",
}  # fmt: skip
REFUSED = {
    "own_draws": "Dropout draws from a generator of its own",
    "across": "BatchNorm1d mixes the clips of a batch",
    "own_forward": "a `forward` of its own",
    "other_place": "frames are not those of streams",
    "other_rate": "does not have the probability `config.dropout`",
    "stateful": r"state besides parameters \(seen\)",
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package as pip leaves it."""
    (tmp_path / "stacked_fusion.py").write_text(MODULE)
    info = tmp_path / "stacked_fusion-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stacked-fusion\nVersion: 1.0\n")
    lines = "".join(f"{name} = stacked_fusion:{attribute}\n" for name, attribute in NAMES.items())
    (info / "entry_points.txt").write_text(f"[mer.fusion_models]\n{lines}")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("stacked_fusion", None)


@pytest.mark.parametrize("model", ["tokens", "branching"])
def test_a_model_of_an_installed_package_is_stacked_as_it_is(installed: None, model: str) -> None:
    clips = made()
    plans = [clips.plan(0, model=model, seed=1, dropout=rate, epochs=2) for rate in (0.0, 0.3, 0.5)]
    plans.append(clips.plan(1, model=model, seed=2, epochs=2))
    for stacked, plan in zip(train_stack(plans, stack_size=4), plans, strict=True):
        (alone,) = train_stack([plan])
        for name, value in alone.tensors.items():
            torch.testing.assert_close(stacked.tensors[name], value, atol=1e-5, rtol=0)


def test_what_can_be_searched_are_the_models_that_can_be_stacked(installed: None) -> None:
    assert set(NAMES) >= set(REFUSED)
    assert set(stackable_models()) == {*BUILT_IN_MODELS, *NAMES} - set(REFUSED)


def test_places_of_dropout_are_found_by_their_shape(installed: None) -> None:
    stacked = build_stacked(FusionShape(WIDTHS, CLASSES), FusionConfig(model="tokens", hidden=8))
    assert stacked.places == (Place(8, ("acoustic", "visual", "lexical")), Place(8))
    early = build_stacked(FusionShape(WIDTHS, CLASSES), FusionConfig(model="early", hidden=8))
    assert early.places == tuple(Place(width, (name,)) for name, width in WIDTHS.items())


@pytest.mark.parametrize("model", REFUSED)
def test_what_would_depend_on_neighbours_is_refused(installed: None, model: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"{model}.*cannot be trained in a stack: .*{REFUSED[model]}.*register_stacked"
    ):
        build_stacked(FusionShape(WIDTHS, CLASSES), FusionConfig(model=model, hidden=8))
