"""Frozen encoders of speech, faces and text, their weights, and their hidden states.

`load_acoustic` is imported on first use: resolving weights needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mer.encoders.weights import ResolvedWeights, resolve_weights

if TYPE_CHECKING:
    from mer.encoders.acoustic import load_acoustic
    from mer.encoders.hidden_states import LayeredEncoder

__all__ = ["LayeredEncoder", "ResolvedWeights", "load_acoustic", "resolve_weights"]


def __getattr__(name: str) -> Any:
    if name == "load_acoustic":
        from mer.encoders.acoustic import load_acoustic

        return load_acoustic
    if name == "LayeredEncoder":
        from mer.encoders.hidden_states import LayeredEncoder

        return LayeredEncoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
