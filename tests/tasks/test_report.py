"""The report of a version: its figures are what the artifacts say, whatever users named is escaped, large corpora stay small."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import pytest
from report_sources import ShownFigures, Sources, wrong_figures
from report_version import MadeUp, register_version

from mer.report.page import render
from tasks.report.build import collected, report_data, tracked_metrics
from tasks.report.made import make_report
from tasks.report.predictions_table import COLUMNS
from tasks.report.sections.clips import MOST
from tasks.report.sections.order import SECTIONS
from tasks.report.written import home_page, rendered
from tasks.stage.references import ModelVersion
from tasks.stage.workspace import Workspace, workspace

HOSTILE = "=cmd|' /C calc'!A0<script>alert(1)</script>\"'&{{7*7}}</style>"


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def test_every_figure_is_found_in_the_artifacts(space: Workspace) -> None:
    register_version(space)
    row = register_version(space, MadeUp(seed=1))
    found = collected(space, row)
    assert found.against is not None and found.against.version == 1
    page = render(report_data(found))
    shown = ShownFigures(page)
    places = {source.partition("#")[0].partition("?")[0] for source, _ in shown.figures}
    assert places >= {
        "evaluation/report.json", "evaluation/out_of_fold.parquet", "evaluation/holdout.parquet", "snapshot", "comparison",
        "catalogue", "figures/layers.json", "figures/alignment.json", "figures/weights.json", "figures/curves.json",
        "figures/search.json", "figures/differences.json", "figures/maps.json",
    }  # fmt: skip
    assert len(shown.figures) > 200
    assert wrong_figures(page, Sources(space, row, found.against)) == []


def test_a_figure_that_is_another_is_noticed(space: Workspace) -> None:
    row = register_version(space)
    page = render(report_data(collected(space, row)))
    source, text = ShownFigures(page).figures[0]
    before, name, after = page.partition(f'data-from="{source}">{text}')
    assert name
    wrong = f'{before}data-from="{source}">{float(text) + 0.002:.3f}{after}'.replace("</main>", "<p>.5</p></main>")
    found = wrong_figures(wrong, Sources(space, row, None))
    assert [line.partition(":")[0] for line in found] == ["no source", source.partition(":")[0]]


def test_what_an_earlier_run_did_not_keep_is_said(space: Workspace) -> None:
    row = register_version(space, MadeUp(kept=False))
    data = report_data(collected(space, row))
    absent = {section.name: section.absent for section in data.sections if section.absent}
    assert set(absent) == {"weights", "layers", "alignment", "maps", "label-shift", "curves", "search"}
    assert all("\n" not in text and text.endswith(".") for text in absent.values())
    assert len(data.sections) == len(SECTIONS)
    assert wrong_figures(render(data), Sources(space, row, None)) == []


def test_hostile_names_are_text(space: Workspace) -> None:
    row = register_version(space, MadeUp(prefix=HOSTILE, speaker_prefix=HOSTILE))
    report = rendered(collected(space, row))
    assert "<script" not in report.page and "&lt;script&gt;" in report.page and "49" + "&lt;/style" not in report.page
    assert report.page.count("</style>") == 1
    ShownFigures(report.page)  # its tags are balanced
    rows = list(csv.DictReader(io.StringIO(report.predictions)))
    assert rows[0]["name"].startswith("'=cmd"), "no spreadsheet runs it"
    assert wrong_figures(report.page, Sources(space, row, None)) == []


def test_predictions_are_those_of_all_scored_clips(space: Workspace) -> None:
    row = register_version(space)
    rows = list(csv.DictReader(io.StringIO(rendered(collected(space, row)).predictions)))
    assert list(rows[0]) == [*COLUMNS, "p_angry", "p_happy", "p_sad"]
    assert {one["set"] for one in rows} == {"out of fold", "holdout"} and len(rows) == 60
    first = rows[0]
    assert sum(float(first[f"p_{name}"]) for name in ("angry", "happy", "sad")) == pytest.approx(1, abs=1e-5)
    assert float(first[f"p_{first['answer']}"]) == float(first["confidence"])


def test_a_large_corpus_stays_small_and_quick(space: Workspace) -> None:
    row = register_version(space, MadeUp(clips=20_000, speakers=2_000))
    started = time.process_time()
    report = rendered(collected(space, row))
    seconds = time.process_time() - started
    assert len(report.page) < 5_000_000 and seconds < 10
    assert report.page.count("more</p>") == 3, "speakers and both lists of clips are cut"
    assert f"{2000 - 40}" in report.page.replace(" ", "") and MOST == 20


def test_a_run_writes_it_and_says_where(space: Workspace) -> None:
    row = register_version(space)
    version = ModelVersion(row.name, row.version, row.artifact)
    written = make_report.fn(version, None)
    page = home_page(space.settings, row.name, row.version)
    assert Path(written.path) == page and page.is_file()
    assert page.with_name("made-up-v1.predictions.csv").is_file()
    assert page.with_name("made-up-v1.recipe.yaml").is_file()
    assert written.uri.endswith(".json") and len(written.sha256) == 64
    assert make_report.fn(version, None) == written, "the same again"


def test_the_tracker_gets_the_same_figures(space: Workspace) -> None:
    row = register_version(space)
    data = report_data(collected(space, row))
    metrics = tracked_metrics(data)
    assert metrics["report.groups.By class.angry.recall"] == pytest.approx(
        next(
            cell.value  # type: ignore[union-attr]
            for section in data.sections if section.name == "groups"
            for cell in section.blocks[0].rows[0][2:3]  # type: ignore[union-attr]
        )
    )  # fmt: skip
    assert not any("clip0" in name or "speaker" in name for name in metrics)
