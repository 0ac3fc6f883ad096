"""The pages for beginners, typed as they stand: every command of their blocks runs, in order, and says what the page says."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documented_commands import ROOT, Documented, blocks_of

from mer.demo import DemoConfig, generate_demo

pytestmark = pytest.mark.nightly

FINE = (0, 3)
"""Exit codes: done; done, but some inputs cannot be used, as the made corpora have on purpose."""


class Beginner:
    """A folder and a home of their own, and somebody who types what a page says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plain = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MER_", "PREFECT_", "MLFLOW_"))
        }
        self.variables = {**plain, "MER_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "COLUMNS": "80"}

    def types(self, words: list[str]) -> str:
        """What a command of ours prints."""
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *words[1:]],
            cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False, timeout=1200,
        )  # fmt: skip
        assert done.returncode in FINE, f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def follows(self, page: str) -> dict[str, str]:
        """Command -> what it printed, of all blocks of a page that are for a shell."""
        path = ROOT / "docs" / page
        said: dict[str, str] = {}
        for block in blocks_of(path, ""):
            for line in block.splitlines():
                if line.startswith("mer "):
                    words = Documented(path, line).words
                    said[" ".join(words)] = self.types(words)
        return said


@pytest.fixture
def beginner(tmp_path: Path) -> Beginner:
    return Beginner(tmp_path)


def stop(beginner: Beginner) -> None:
    beginner.types(["mer", "down"])


def test_ten_minutes(beginner: Beginner) -> None:
    try:
        said = beginner.follows("tour.md")
    finally:
        stop(beginner)
    assert (
        "ensemble *" in said["mer run --demo-clips 60"]
        and "WAF: weighted F1" in said["mer run --demo-clips 60"]
    )
    assert "champion" in said["mer models"]
    assert (beginner.folder / "report" / "report.json").is_file() and (
        beginner.folder / "answers.csv"
    ).is_file()
    described = said["mer describe demo --name demo-60-2023"]
    assert "all 6 views" in described and "would be computed" not in described
    changed = said["mer describe demo --name demo-60-2023 --set acoustic.adaptation.rank=4"]
    assert "adaptation of acoustic (6)" in changed


def own_clips(folder: Path) -> None:
    """Clips with a table of one's own words, a new clip and a new folder, and the page's recipe."""
    made = generate_demo(folder / "made", DemoConfig(clips=48, speakers=6, test_share=0, broken=0, seed=3))
    (folder / "clips").mkdir()
    (folder / "new_folder").mkdir()
    with (made / "labels.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["emotion"]]
    with (folder / "clips" / "labels.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["name", "emotion", "speaker"])
        for number, row in enumerate(rows):
            path = next(made.rglob(f"{row['name']}.*"))
            if number < 3:
                shutil.copy(path, folder / "new_folder" / path.name)
                shutil.copy(path, folder / "new_clip.mp4")
                continue
            shutil.copy(path, folder / "clips" / path.name)
            word = "loud" if row["emotion"] in ("angry", "happy", "surprise") else "calm"
            writer.writerow([row["name"], word, row["speaker"]])
    recipe = next(block for block in blocks_of(ROOT / "docs" / "my_clips.md", "yaml") if "mine.yaml" in block)
    (folder / "mine.yaml").write_text(recipe, encoding="utf-8")


def test_my_own_clips(beginner: Beginner) -> None:
    own_clips(beginner.folder)
    try:
        said = beginner.follows("my_clips.md")
    finally:
        stop(beginner)
    assert "training: possible" in said["mer check clips --emotions auto"]
    assert "calm" in said["mer predict new_clip.mp4"] or "loud" in said["mer predict new_clip.mp4"]
    assert (beginner.folder / "answers.csv").is_file()
    assert "extends: clips" in (beginner.folder / "mine.yaml").read_text(encoding="utf-8")
