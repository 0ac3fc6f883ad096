"""transformers in a process that answers and ends: what no encoder's forward pass runs is not imported.

Importing any model of transformers brings with it torch's compiler, distributed tensors, a server of paged attention and the
losses of detectors: a third of the processor time of a cold prediction (`benchmarks.cold_start`). The command line calls
`import_lean` before it predicts. The library never does: a process of somebody else may want any of this.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_COMPILER, _DISTRIBUTED = "torch._dynamo", "torch.distributed.tensor"
_STAND_INS: dict[str, tuple[str, ...]] = {
    "transformers.generation.continuous_batching": ("PagedAttentionCache", "ContinuousMixin"),
    "transformers.generation.continuous_batching.cache": ("PagedAttentionCache",),
    "torch._dynamo._trace_wrapped_higher_order_op": ("TransformGetItemToIndex",),
}
"""Modules that are not loaded -> the classes of theirs that others name in annotations, `isinstance` and as bases."""
_DECORATORS = ("disable", "allow_in_graph", "assume_constant_result")
"""Decorators of the compiler, which leave a function that is not compiled as it is."""
_ABSENT = ("is_torch_distributed_available", "is_scipy_available")
"""Questions of transformers that are answered by no: it then leaves out distributed tensors and the losses of detectors."""


def import_lean() -> bool:
    """Import transformers' base of all models without the parts above; True where that was done.

    False where transformers was imported before, or is of a version that does not do without: then it is imported as a whole,
    later, by whoever needs it.
    """
    if "transformers" in sys.modules or _COMPILER in sys.modules:
        return False
    import torch
    import transformers.utils
    from transformers.utils import import_utils

    before = set(sys.modules)
    known = {name: getattr(import_utils, name, None) for name in _ABSENT}
    for name in _ABSENT:
        for module in (transformers.utils, import_utils):
            setattr(module, name, _no)
    try:
        with _standing_in(torch):
            import transformers.generation.utils
            import transformers.masking_utils
            import transformers.modeling_utils
    except Exception:
        for name in set(sys.modules) - before:
            if name.startswith("transformers.") or name == _COMPILER:
                del sys.modules[name]
        for name, answer in known.items():
            for module in (transformers.utils, import_utils):
                setattr(module, name, answer)
        return False
    if not hasattr(torch.distributed, "tensor"):
        setattr(torch.distributed, "tensor", _Later(_DISTRIBUTED, {"DTensor": type("DTensor", (), {})}))  # noqa: B010
    return True


@contextmanager
def _standing_in(torch: ModuleType) -> Iterator[None]:
    """Empty modules in place of those that are not loaded; a decorator of the compiler leaves its function as it is."""
    compiler: Any = torch.compiler
    disable = compiler.disable
    made: dict[str, ModuleType] = {}
    for name, classes in _STAND_INS.items():
        module = ModuleType(name)
        module.__dict__.update({item: type(item, (), {}) for item in classes})
        module.__dict__["__path__"] = []
        made[name] = module
    sys.modules.update(made)
    sys.modules[_COMPILER] = _Later(_COMPILER, dict.fromkeys(_DECORATORS, _as_it_is))
    compiler.disable = _as_it_is
    try:
        yield
    finally:
        compiler.disable = disable
        for name, module in made.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _Later(ModuleType):
    """A module that is loaded when anything but what stands in here is needed of it; stays in place after the import.

    Torch itself decorates functions by its compiler when they are first called, as where a model is built; PEFT asks of every
    layer whether its weights are distributed.
    """

    def __init__(self, name: str, known: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.__dict__.update(known)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__["__name__"]
        if sys.modules.get(own) is self:
            del sys.modules[own]
        return getattr(import_module(own), name)


def _as_it_is(function: Any = None, *_: Any, **__: Any) -> Any:
    return (lambda item: item) if function is None else function


def _no(*_: Any) -> bool:
    return False
