"""Names of the linear maps of some layers, as parameter-efficient fine-tuning asks for them."""

from __future__ import annotations

from torch import nn


def linear_map_names(module: nn.Module, layers_name: str, start: int, stop: int) -> tuple[str, ...]:
    """Full names within `module` of all linear maps (attention and MLP) of layers start..stop-1."""
    return tuple(
        f"{layers_name}.{layer}.{name}"
        for layer in range(start, stop)
        for name, submodule in module.get_submodule(f"{layers_name}.{layer}").named_modules()
        if isinstance(submodule, nn.Linear)
    )
