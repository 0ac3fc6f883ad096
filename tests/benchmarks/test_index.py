"""The index names every benchmark and nothing else, each says how it is run, and the wheel holds none of them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"\| `python -m (benchmarks[\w.]*)[^`]*` \|", INDEX)


def runnable() -> dict[str, Path]:
    """Name in a command -> file, of every module that runs when it is called."""
    found = {}
    for path in sorted(FOLDER.rglob("*.py")):
        if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8"):
            found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")] = path
    return found


def test_the_index_names_every_benchmark_once() -> None:
    modules = runnable()
    behind_packages = {
        target
        for path in FOLDER.glob("*/__main__.py")
        for target in re.findall(r"^from (benchmarks[\w.]+) import main$", path.read_text(), re.MULTILINE)
    }
    assert sorted(COMMANDS) == sorted(set(modules) - behind_packages)


def test_commands_in_documents_can_be_run() -> None:
    documents = [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "docs").glob("*.md"), *FOLDER.rglob("*.py")]
    named = {
        name
        for document in documents
        for name in re.findall(r"python -m (benchmarks[\w.]*\w)", document.read_text(encoding="utf-8"))
    }
    assert named - {"benchmarks.NAME"} <= set(runnable())
    assert len(named) > 10


def test_the_wheel_holds_no_benchmark_and_no_test() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = find_packages(str(ROOT), include=options["packages"]["find"]["include"])
    assert {name.partition(".")[0] for name in packages} == {"mer", "infra", "tasks", "flows"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_benchmark_shows_its_help(name: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", name, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert shown.returncode == 0, shown.stderr
    assert f"python -m {name}" in shown.stdout and "--quick" in shown.stdout
