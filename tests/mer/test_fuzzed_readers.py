"""Coverage-guided fuzzing (atheris, extra `fuzz`) of the readers written in Python, for some minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = int(os.environ.get("FUZZ_SECONDS", "180"))


@pytest.mark.nightly
@pytest.mark.skipif(
    find_spec("atheris") is None, reason="atheris is not installed: pip install 'mer-pipeline[fuzz]'"
)
def test_nothing_but_data_or_an_error_of_ours(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE), str(HERE / "media")])
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzz_target.py"), str(tmp_path / "seeds"), f"-max_total_time={SECONDS}",
         "-timeout=30", "-rss_limit_mb=3072", "-max_len=4096", f"-artifact_prefix={tmp_path}/"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, cwd=tmp_path, timeout=SECONDS + 300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Done " in done.stderr, done.stderr[-2000:]
