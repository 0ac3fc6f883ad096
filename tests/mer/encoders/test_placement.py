from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mer.encoders import placement
from mer.encoders.placement import Placement, choose_placement, processor_has_bf16, settled_precision
from mer.encoders.processor import LIMITS, bf16_instructions, processor_kind


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", "avx512_bf16"),
        ("flags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n", "amx_bf16"),
        ("Features\t: fp asimd bf16\n", "bf16"),
        ("flags\t\t: fpu avx2 avx512f\n", "no_bf16"),
        ("", "no_bf16"),
    ],
)
def test_bf16_is_for_processors_that_list_it(tmp_path: Path, listed: str, expected: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(listed)
    assert bf16_instructions(cpuinfo) == expected
    assert bf16_instructions(tmp_path / "absent") == "no_bf16"
    assert processor_has_bf16() == (bf16_instructions() != "no_bf16")


def test_kinds_of_processors_differ_by_what_they_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    plain = processor_kind()
    assert plain.endswith(bf16_instructions()) and plain == processor_kind("cpu")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert processor_kind() == f"{plain} ONEDNN_MAX_CPU_ISA=AVX2"


@pytest.mark.parametrize("fast", [True, False])
def test_auto_precision(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "processor_has_bf16", lambda: fast)
    assert settled_precision("auto", "cpu") == ("bf16" if fast else "fp32")
    assert settled_precision("auto", "cuda:0") == "bf16"
    for said in ("fp32", "bf16"):
        assert settled_precision(said, "cuda") == settled_precision(said, "cpu") == said  # type: ignore[arg-type]


def test_auto_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_placement() == Placement("cpu", "fp32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_placement(precision="auto") == Placement("cuda", "bf16")
    assert choose_placement("cpu") == Placement("cpu", "fp32")


def test_only_floats_take_the_precision() -> None:
    on_cpu = Placement(precision="bf16")
    assert on_cpu.put(torch.ones(2)).dtype == torch.bfloat16
    assert on_cpu.put(torch.ones(2, dtype=torch.long)).dtype == torch.long
    assert not on_cpu.on_gpu
    assert Placement("cuda:1").on_gpu


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_put_copies_to_the_gpu() -> None:
    values = torch.arange(6.0)
    assert torch.equal(Placement("cuda", "bf16").put(values).cpu().float(), values)
