"""What computes here: the kind of processor that decides which kernels run, and with them the last bits of every result."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")
"""Names by which Linux lists a processor's bf16 matrix instructions: x86 (two), Arm; the fastest first."""

LIMITS = (
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
)  # fmt: skip
"""Variables by which torch, oneDNN and MKL are told to use less (or other) than the processor has."""

CPUINFO = Path("/proc/cpuinfo")


def processor_kind(device: str = "cpu") -> str:
    """Kind of the processor behind a torch device: machines of one kind run the same kernels.

    Returns:
        `AuthenticAMD 25/17 AVX512 avx512_bf16` (vendor, family/model, torch's instruction set, bf16 instructions), with
        the `LIMITS` that are set behind it, or a GPU's name and compute capability.
    """
    import torch

    if device.startswith("cuda"):
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)} sm_{major}{minor}"
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if os.environ.get(name)]
    return " ".join([*_cpu(CPUINFO), torch.backends.cpu.get_cpu_capability(), bf16_instructions(), *limits])


@cache
def bf16_instructions(cpuinfo: Path = CPUINFO) -> str:
    """Name of this processor's fastest bf16 matrix instructions, `no_bf16` without any, or where Linux' list is absent."""
    listed = _listed(cpuinfo)
    flags = (listed.get("flags") or listed.get("Features") or "").split()
    return next((name for name in BF16_FLAGS if name in flags), "no_bf16")


@cache
def _cpu(cpuinfo: Path) -> tuple[str, ...]:
    listed = _listed(cpuinfo)
    if "vendor_id" in listed:
        return listed["vendor_id"], f"{listed.get('cpu family', '?')}/{listed.get('model', '?')}"
    parts = (listed.get("CPU implementer", ""), listed.get("CPU part", ""))
    return tuple(field for field in (platform.machine(), *parts) if field)


def _listed(cpuinfo: Path) -> dict[str, str]:
    """What Linux lists of the first processor, by name."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
