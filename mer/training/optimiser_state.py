"""An optimiser's state as named tensors, for checkpoints (its own `state_dict` nests Python objects)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

_PREFIX = "optimiser"


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """The tensors of the state of every parameter, named `optimiser.<parameter index>.<name>`.

    Parameters count in the order of the parameter groups. Adam has no state but tensors.
    """
    state = optimiser.state_dict()["state"]
    return {
        f"{_PREFIX}.{index}.{name}": value
        for index, entry in state.items()
        for name, value in entry.items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load the tensors that `optimiser_tensors` gave into the optimiser; other names in `tensors` are ignored."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{_PREFIX}."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value.clone()
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
