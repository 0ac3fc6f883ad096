"""Tables of streams: names that streams cannot have."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

import mer
from mer.recipes import Recipe
from mer.stream_tables import RESERVED_STREAM_NAMES


def test_the_names_that_are_reserved_are_those_of_torch() -> None:
    attributes = {name for name in dir(nn.ModuleDict()) if not name.startswith("_")}
    assert attributes | {"smart_apply"} == RESERVED_STREAM_NAMES, (
        "transformers adds that one when it is imported"
    )


@pytest.mark.parametrize("name", ["to", "train/b", "keys/x", "half", "__class__", "_modules"])
def test_a_stream_called_as_something_of_torch_is_refused_by_name(name: str) -> None:
    with pytest.raises(mer.ConfigError, match=r"features: expected .* found"):
        mer.Fusion("late", epochs=1).fit({name: np.zeros((8, 2))}, ["a", "b"] * 4)


@pytest.mark.parametrize("modality", ["to", "train", "keys"])
def test_so_is_a_modality_of_a_recipe(modality: str) -> None:
    stream = {"modality": modality, "features": {"source": "files:x"}}
    with pytest.raises(ValueError, match=f"expected another name than {modality}"):
        Recipe.model_validate({"name": "x", "streams": {"pulse": stream}})
