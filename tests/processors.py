"""The computing tests under every kind of processor that this one can stand in for: `make test-processors`.

torch, oneDNN and MKL are told to use less than the machine has, so that kernels run that would run on an older processor; a
kind above the machine's own is skipped with the reason. Arguments go to pytest (`-n auto`, `-x`, paths below tests/mer).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parent
COMPUTING = (
    "encoders",
    "features",
    "adaptation",
    "layer_study",
    "alignment",
    "fusion",
    "training",
    "predictor",
)
"""Folders below tests/mer whose results come out of torch kernels; those that exist are run."""

VARIABLES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")


@dataclass(frozen=True)
class Kind:
    """A kind of processor, by the limits that make this one compute like it."""

    name: str
    needs: tuple[str, ...] = ()
    """Flags of /proc/cpuinfo."""
    limits: dict[str, str] = field(default_factory=dict)

    def lacking(self, flags: frozenset[str]) -> tuple[str, ...]:
        """Flags that the machine has not."""
        return tuple(flag for flag in self.needs if flag not in flags)


def limits(aten: str, onednn: str, mkl: str) -> dict[str, str]:
    """Values of the variables."""
    return {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_ENABLE_INSTRUCTIONS": mkl}


KINDS = (
    Kind("AVX2", ("avx2", "fma"), limits("avx2", "AVX2", "AVX2")),
    Kind("AVX-512", AVX512, limits("avx512", "AVX512_CORE", "AVX512")),
    Kind("AVX-512 with bf16", (*AVX512, "avx512_bf16"), limits("avx512", "AVX512_CORE_BF16", "AVX512")),
    Kind("native"),
)


def machine_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What Linux lists of this processor; empty where it lists nothing (then only `native` runs)."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(found, []))


def run(kind: Kind, arguments: list[str]) -> int:
    """pytest's exit status under this kind."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    paths = [argument for argument in arguments if (TESTS.parent / argument.split("::")[0]).exists()]
    chosen = [] if paths else [str(path) for name in COMPUTING if (path := TESTS / "mer" / name).is_dir()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, *chosen]
    return subprocess.run(command, env=environment | kind.limits, cwd=TESTS.parent, check=False).returncode


def main(arguments: list[str]) -> int:
    """Run all kinds; the exit status is 1 where any failed. The times of all stand at the end."""
    flags, lines, failed = machine_flags(), [], False
    for kind in KINDS:
        if lacking := kind.lacking(flags):
            lines.append(f"{kind.name}: skipped, this processor has no {', '.join(lacking)}")
            continue
        settings = " ".join(f"{name}={value}" for name, value in kind.limits.items()) or "nothing set"
        sys.stdout.write(f"== {kind.name}: {settings}\n")
        sys.stdout.flush()
        started = time.monotonic()
        status = run(kind, arguments)
        failed |= status != 0
        lines.append(f"{kind.name}: {'FAILED' if status else 'passed'} in {time.monotonic() - started:.0f} s")
    best = next((name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in flags), "unknown")
    sys.stdout.write("\n".join([f"processors (this one: {best}):", *lines, ""]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
