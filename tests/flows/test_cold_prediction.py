"""What a cold prediction does not import, and that what stands in for it is replaced when it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from small_model import register_small

from tasks.stage.workspace import workspace

NEVER = (
    "prefect", "mlflow", "alembic", "pandas", "pandera", "sklearn", "scipy", "optuna", "matplotlib", "pyarrow.dataset",
    "torch._inductor", "torch.onnx", "torch.distributed.tensor", "transformers.generation.continuous_batching",
)  # fmt: skip
PREDICT = """
import json, sys
sys.argv = ["mer", "predict", *sys.argv[1:]]
from flows.cli import main
try:
    main()
except SystemExit as end:
    sys.stderr.write(json.dumps([end.code, sorted(sys.modules)]))
"""
USED = """
import json, sys
from mer.encoders.lean_import import import_lean
before = "transformers" in sys.modules
done = import_lean()
import torch
model = torch.compile(torch.nn.Linear(2, 2), backend="eager")
answer = model(torch.ones(1, 2)).shape
import torch._dynamo.utils
from torch.distributed.tensor import DTensor
from transformers.generation.continuous_batching import PagedAttentionCache
print(json.dumps([before, done, list(answer), hasattr(DTensor, "from_local"), hasattr(torch._dynamo, "optimize"), import_lean()]))
"""


def imported(home: Path, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREDICT, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr[:2000]
    return set(modules)


@pytest.mark.slow
@pytest.mark.parametrize("reads_words", [False, True], ids=["of feature files", "with an encoder"])
def test_a_cold_prediction_leaves_out_what_it_does_not_use(
    reads_words: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    register_small(workspace(), tmp_path / "package", reads_words=reads_words)
    soundfile.write(tmp_path / "a.wav", [0.1] * 1600, 16_000)
    (tmp_path / "a.txt").write_text("so glad")
    modules = imported(tmp_path, str(tmp_path / "a.wav"), "--json", "--quiet")
    assert [name for name in NEVER if name in modules] == []
    assert ("transformers" in modules) == reads_words


@pytest.mark.slow
def test_what_stands_in_is_replaced_when_it_is_needed() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", USED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [
        False, True, [1, 2], True, True, False,
    ]  # fmt: skip


def test_the_service_starts_without_what_only_runs_need() -> None:
    show = "import json, sys, flows.service.serving; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", show], capture_output=True, text=True, check=True
    )
    modules = json.loads(done.stdout)
    assert "flows.service.review" in modules
    assert sorted({*NEVER, "torch", "trio"} & set(modules)) == []
