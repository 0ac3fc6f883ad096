"""The ten lines of the README's first page run as they stand."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import mer

ROOT = Path(mer.__file__).parents[1]
_BLOCK = re.compile(r"^<!-- ten lines -->\n+```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_ten_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = _BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert block is not None, "expected a python block after a line `<!-- ten lines -->` in README.md"
    lines = [line for line in block["code"].splitlines() if line.strip()]
    assert len(lines) <= 10
    assert (ROOT / "README.md").read_text(encoding="utf-8").index(block[0]) < 4000  # the first page
    (tmp_path / "ten_lines.py").write_text(block["code"])
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(tmp_path / "ten_lines.py"))
    said = capsys.readouterr().out
    assert (tmp_path / "my_fusion" / "fusion.safetensors").is_file()
    loaded = mer.Fusion.load(tmp_path / "my_fusion")
    assert str(loaded.predict_proba({"acoustic": names["speech"][:2]})) in said
    assert re.search(r"pooled\s+200 +0\.[6-9]", said) and "20 speakers resampled" in said
