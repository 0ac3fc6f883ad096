from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mer.encoders import placement
from mer.encoders.placement import Placement, place, processor_has_bf16, settled_precision


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("", False),
    ],
)
def test_bf16_is_for_processors_that_list_it(tmp_path: Path, listed: str, expected: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(listed)
    assert processor_has_bf16(cpuinfo) is expected
    assert not processor_has_bf16(tmp_path / "absent")


@pytest.mark.parametrize("fast", [True, False])
def test_auto_precision(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "processor_has_bf16", lambda: fast)
    assert settled_precision("auto", "cpu") == ("bf16" if fast else "fp32")
    assert settled_precision("auto", "cuda:0") == "bf16"
    for said in ("fp32", "bf16"):
        assert settled_precision(said, "cuda") == settled_precision(said, "cpu") == said  # type: ignore[arg-type]


def test_auto_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert place() == Placement("cpu", "fp32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert place(precision="auto") == Placement("cuda", "bf16")
    assert place("cpu") == Placement("cpu", "fp32")


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
