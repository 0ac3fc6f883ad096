from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mer.adaptation.processes import ALONE, Processes

WORKER = Path(__file__).with_name("accelerated_fit.py")


def test_parts_cover_a_batch_once() -> None:
    for clips in range(9):
        parts = []
        for rank in range(4):
            process = Processes()
            process.rank, process.count = rank, 4
            parts += list(range(clips))[process.clip_range(clips)]
        assert parts == list(range(clips))
    assert list(range(5))[ALONE.clip_range(5)] == [0, 1, 2, 3, 4] and ALONE.first


@pytest.mark.slow
def test_two_processes_make_the_fit_of_one(tmp_path: Path) -> None:
    """Real processes over gloo, started as `torchrun` does; the same batches in one process as reference."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    for folder, command in (("one", [sys.executable]), ("two", launcher)):
        (tmp_path / folder).mkdir()
        subprocess.run(
            [*command, str(WORKER), str(tmp_path / folder)], env=environment, check=True, timeout=300
        )
    one = json.loads((tmp_path / "one" / "process0of1.json").read_text())
    two = json.loads((tmp_path / "two" / "process0of2.json").read_text())
    assert json.loads((tmp_path / "two" / "process1of2.json").read_text()) == two
    assert len(one) == len(two) == 3
    for alone, shared in zip(one, two, strict=True):
        for name in alone:
            np.testing.assert_allclose(shared[name], alone[name], rtol=1e-4, atol=1e-5, err_msg=name)
    tensors = [load_file(tmp_path / "two" / f"process{rank}of2.safetensors") for rank in (0, 1)]
    assert all(torch.equal(value, tensors[1][name]) for name, value in tensors[0].items())
