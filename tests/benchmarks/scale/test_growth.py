"""The benchmark of growth at a handful of rows: every figure that its docstring names is there, and the table fits a terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.scale import growth
from benchmarks.scale.growth import SHOWN, main, show


def test_the_table_fits_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    found = {rows: dict.fromkeys(SHOWN, 12_345.678) for rows in growth.ROWS}
    show(found, 1.05)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) == len(SHOWN) + 2


@pytest.mark.slow
def test_every_figure_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "unused"))
    given = [
        "--rows",
        "200",
        "400",
        "--repeats",
        "2",
        "--folder",
        str(tmp_path),
        "--json",
        str(tmp_path / "f.json"),
    ]
    monkeypatch.setattr(sys, "argv", ["scale", *given])
    main()
    figures = json.loads((tmp_path / "f.json").read_text())
    assert {f"{name}_{rows}" for name in SHOWN for rows in (200, 400)} <= set(figures)
    assert figures["resume_left_400"] == 4 and figures["one_clip_ratio"] > 0 and figures["ingest_ratio"] > 0
    assert "one new clip" in capsys.readouterr().out
