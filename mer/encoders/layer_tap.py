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
    layers = model.get_submodule(layers_name(model))
    assert isinstance(layers, nn.ModuleList)
    return layers


def layers_name(model: nn.Module) -> str:
    """Name of that list within the model.

    Raises:
        ConfigError: it is at none of the known places.
    """
    for path in _PATHS:
        try:
            module = model.get_submodule(path)
        except AttributeError:
            continue
        if isinstance(module, nn.ModuleList):
            return path
    raise ConfigError(f"expected layers at {', '.join(_PATHS)} of {type(model).__name__}, found none")


def run_tapped(
    forward: Callable[[], Any], layers: nn.ModuleList, indices: Collection[int], *, whole: bool
) -> tuple[dict[int, Tensor], Any]:
    """Run a model and keep what enters its first layer (state 0) and leaves layer l (state l).

    Calls are counted, not modules: ALBERT runs one layer many times.

    Args:
        forward: runs the model.
        layers: its layers.
        indices: states to keep, raw, i.e. before any norm that follows the stack.
        whole: run to the end, for the model's own output; otherwise the pass ends after the last state
            wanted.

    Returns:
        the states by index, and what `forward` returned (None unless `whole`).
    """
    states: dict[int, Tensor] = {}
    last = max(indices, default=0)
    calls = 0

    def entered(_: nn.Module, args: Any, kwargs: Any) -> None:
        if calls == 0 and 0 in indices:
            states[0] = args[0] if args else kwargs["hidden_states"]
        if calls == last and not whole:
            raise _Enough

    def left(_: nn.Module, __: Any, output: Any) -> None:
        nonlocal calls
        calls += 1
        if calls in indices:
            states[calls] = output if isinstance(output, Tensor) else output[0]

    hooks = [layer.register_forward_pre_hook(entered, with_kwargs=True) for layer in layers]
    hooks += [layer.register_forward_hook(left) for layer in layers]
    try:
        output = forward()
        return states, output if whole else None
    except _Enough:
        return states, None
    finally:
        for hook in hooks:
            hook.remove()


def run_between(
    forward: Callable[[], Any], layers: nn.ModuleList, hidden: Tensor, start: int, stop: int, outputs: int
) -> tuple[list[Tensor], Any]:
    """Run layers start..stop-1 of a model on a given hidden state; its own code makes masks and positions.

    Layers below `start` hand on what they are given, layer `start` is given `hidden` in its place, and the pass ends
    where layer `stop` would begin. What the model makes of its (arbitrary) inputs is computed and thrown away.

    Args:
        forward: runs the model on any inputs of the right shape and mask.
        layers: its layers, each run once.
        hidden: hidden state `start`.
        start: hidden state given.
        stop: hidden state wanted; the number of layers: the model runs to its end.
        outputs: values that its layers return, see `layer_outputs`.

    Returns:
        raw hidden states start+1..stop, and what `forward` returned (None unless it ran to its end).
    """
    states: list[Tensor] = []

    def handed_on(*args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else kwargs["hidden_states"]
        return (given, *[None] * (outputs - 1)) if outputs else given

    def entered(_: nn.Module, args: Any, kwargs: Any) -> Any:
        return ((hidden, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": hidden})

    def left(_: nn.Module, __: Any, output: Any) -> None:
        states.append(output if isinstance(output, Tensor) else output[0])

    def enough(_: nn.Module, __: Any) -> None:
        raise _Enough

    hooks = [layers[start].register_forward_pre_hook(entered, with_kwargs=True)]
    hooks += [layer.register_forward_hook(left) for layer in layers[start:stop]]
    hooks += [layer.register_forward_pre_hook(enough) for layer in layers[stop : stop + 1]]
    skipped = list(layers[:start])
    try:
        for layer in skipped:
            layer.forward = handed_on
        return states, forward()
    except _Enough:
        return states, None
    finally:
        for layer in skipped:
            del layer.forward
        for hook in hooks:
            hook.remove()


def layer_outputs(forward: Callable[[], Any], layers: nn.ModuleList) -> int:
    """How many values a model's layers return as a tuple, 0 for a bare tensor: its first layer is run once."""
    seen: list[int] = []

    def left(_: nn.Module, __: Any, output: Any) -> None:
        seen.append(0 if isinstance(output, Tensor) else len(output))
        raise _Enough

    hook = layers[0].register_forward_hook(left)
    try:
        forward()
    except _Enough:
        pass
    finally:
        hook.remove()
    return seen[0]
