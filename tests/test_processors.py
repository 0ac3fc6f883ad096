"""What `make test-processors` runs and what it leaves out."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def processors() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "processors_script", Path(__file__).with_name("processors.py")
    )
    assert spec is not None and spec.loader is not None
    import sys

    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_kinds_above_the_machine_are_skipped_with_a_reason(
    processors: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 fma avx512f avx512bw avx512dq avx512vl\n")
    flags = processors.machine_flags(cpuinfo)
    assert "avx512vl" in flags and processors.machine_flags(tmp_path / "absent") == frozenset()
    monkeypatch.setattr(processors, "machine_flags", lambda: flags)
    ran = []
    monkeypatch.setattr(
        processors, "run", lambda kind, arguments: ran.append(kind.name) or kind.name == "AVX2"
    )
    assert processors.main([]) == 1  # one failed
    out = capsys.readouterr().out
    assert ran == ["AVX2", "AVX-512", "native"]
    assert "AVX-512 with bf16: skipped, this processor has no avx512_bf16" in out
    assert "AVX2: FAILED in 0 s" in out and "native: passed in 0 s" in out


@pytest.mark.slow
def test_the_limits_reach_torch(
    processors: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if processors.KINDS[0].lacking(processors.machine_flags()):
        pytest.skip("this processor has no AVX2")
    test = tmp_path / "test_limit.py"
    test.write_text(
        "import torch\n\ndef test_it():\n    assert torch.backends.cpu.get_cpu_capability() == 'AVX2'\n"
    )
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    arguments = [str(test), "-o", "addopts=", "--rootdir", str(tmp_path)]
    assert processors.run(processors.KINDS[0], arguments) == 0
