"""Hidden states out of any transformers model, without running a layer above the last one wanted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor, nn

from mer.errors import ConfigError

_PATHS = (
    "layers", "layer", "encoder.layers", "encoder.layer", "transformer.layer", "encoder.albert_layer_groups",
)  # fmt: skip
"""Where transformers 5 keeps the layers: Llama and ViT, -, CLIP, BERT and DINOv2, DistilBERT, ALBERT."""


class _Enough(Exception):
    """Leaves a forward pass where a layer would run that nothing is read of."""


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The list of transformer layers of a model.

    Raises:
        ConfigError: it is at none of the known places.
    """
    for path in _PATHS:
        try:
            found = model.get_submodule(path)
        except AttributeError:
            continue
        if isinstance(found, nn.ModuleList):
            return found
    raise ConfigError(f"expected layers at {', '.join(_PATHS)} of {type(model).__name__}, found none")


def run_tapped(
    forward: Callable[[], Any], layers: nn.ModuleList, wanted: Collection[int], *, whole: bool
) -> tuple[dict[int, Tensor], Any]:
    """Run a model and keep what enters its first layer (state 0) and leaves layer l (state l).

    Calls are counted, not modules: ALBERT runs one layer many times.

    Args:
        forward: runs the model.
        layers: its layers.
        wanted: states to keep, raw, i.e. before any norm that follows the stack.
        whole: run to the end, for the model's own output; otherwise the pass ends after the last state
            wanted.

    Returns:
        the states by index, and what `forward` returned (None unless `whole`).
    """
    found: dict[int, Tensor] = {}
    last = max(wanted, default=0)
    calls = 0

    def entered(_: nn.Module, args: Any, kwargs: Any) -> None:
        if calls == 0 and 0 in wanted:
            found[0] = args[0] if args else kwargs["hidden_states"]
        if calls == last and not whole:
            raise _Enough

    def left(_: nn.Module, __: Any, output: Any) -> None:
        nonlocal calls
        calls += 1
        if calls in wanted:
            found[calls] = output if isinstance(output, Tensor) else output[0]

    hooks = [layer.register_forward_pre_hook(entered, with_kwargs=True) for layer in layers]
    hooks += [layer.register_forward_hook(left) for layer in layers]
    try:
        output = forward()
        return found, output if whole else None
    except _Enough:
        return found, None
    finally:
        for hook in hooks:
            hook.remove()
