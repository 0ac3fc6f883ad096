"""Where an encoder runs, and in which precision. Imports torch only when asked to place something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mer.encoders.processor import bf16_instructions, processor_kind

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16", "int8"]
SettledPrecision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True)
class Placement:
    """A device and a precision; the default is what training and adaptation work with."""

    device: str = "cpu"
    """As torch names it: `cpu`, `cuda`, `cuda:1`."""
    precision: SettledPrecision = "fp32"
    unproved: bool = False
    """bf16 that could not be compared with fp32, for lack of memory (see `mer.encoders.bf16_proof`)."""

    @property
    def arithmetic(self) -> str:
        """What is stored beside features: `fp32`, `bf16` (equal to fp32 but for rounding), `bf16 unproved`, `int8`."""
        return f"{self.precision} unproved" if self.unproved else self.precision

    @property
    def dtype(self) -> torch.dtype:
        """Type of weights and hidden states."""
        import torch

        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def on_gpu(self) -> bool:
        """Whether clips are worth padding into batches; a processor takes them one by one."""
        return self.device.startswith("cuda")

    def put(self, values: torch.Tensor) -> torch.Tensor:
        """Copy to the device, from pinned memory without waiting for it; floats take the precision."""
        if self.on_gpu:
            values = values.pin_memory().to(self.device, non_blocking=True)
        return values.to(self.dtype) if values.is_floating_point() else values


ON_CPU = Placement()


def choose_placement(device: str = "auto", precision: Precision = "fp32") -> Placement:
    """Settle both choices for this machine.

    Args:
        device: `auto` is a CUDA device where there is one, otherwise the processor.
        precision: `auto` is bf16 on a GPU and on processors with bf16 matrix instructions (AVX-512 BF16, AMX,
            Arm BF16), fp32 elsewhere: emulated bf16 is slower than fp32. Whether that bf16 is right is not asked here, but
            by `mer.encoders.bf16_proof.proved_placement`. `int8` (linear layers, processors only) is never chosen by
            itself: its values differ more.
    """
    resolved_device = _device() if device == "auto" else device
    return Placement(resolved_device, settled_precision(precision, resolved_device))


def computed_in(placement: Placement) -> dict[str, str]:
    """What is stored beside results of this placement: the `arithmetic`, and the `processor` whose kernels computed."""
    return {"arithmetic": placement.arithmetic, "processor": processor_kind(placement.device)}


def settled_precision(precision: Precision, device: str = "auto") -> SettledPrecision:
    """What `precision` means on this machine; the others mean themselves."""
    if precision != "auto":
        return precision
    fast = (_device() if device == "auto" else device).startswith("cuda") or processor_has_bf16()
    return "bf16" if fast else "fp32"


def processor_has_bf16() -> bool:
    """Whether this processor multiplies bf16 matrices in hardware; where Linux' list is absent, no."""
    return bf16_instructions() != "no_bf16"


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
