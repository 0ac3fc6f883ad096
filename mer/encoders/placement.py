"""Where an encoder runs, and in which precision. Imports torch only when asked to place something."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16", "int8"]
SettledPrecision = Literal["fp32", "bf16", "int8"]

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Names by which Linux lists a processor's bf16 matrix instructions: x86 (two), Arm."""


@dataclass(frozen=True)
class Placement:
    """A device and a precision; the default is what training and adaptation work with."""

    device: str = "cpu"
    """As torch names it: `cpu`, `cuda`, `cuda:1`."""
    precision: SettledPrecision = "fp32"

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


def place(device: str = "auto", precision: Precision = "fp32") -> Placement:
    """Settle both choices for this machine.

    Args:
        device: `auto` is a CUDA device where there is one, otherwise the processor.
        precision: `auto` is bf16 on a GPU and on processors with bf16 matrix instructions (AVX-512 BF16, AMX,
            Arm BF16), fp32 elsewhere: emulated bf16 is slower than fp32. `int8` (linear layers, processors only) is never
            chosen by itself: its values differ more.
    """
    found = _device() if device == "auto" else device
    return Placement(found, settled_precision(precision, found))


def settled_precision(precision: Precision, device: str = "auto") -> SettledPrecision:
    """What `precision` means on this machine; the others mean themselves."""
    if precision != "auto":
        return precision
    fast = (_device() if device == "auto" else device).startswith("cuda") or processor_has_bf16()
    return "bf16" if fast else "fp32"


@cache
def processor_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor multiplies bf16 matrices in hardware; where Linux' list is absent, no."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))
    return not _BF16_FLAGS.isdisjoint(next(flags, []))


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
