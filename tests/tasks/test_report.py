"""The report of a version: its figures are what the artifacts say, whatever users named is escaped, large corpora stay small."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_sources import ShownFigures, Sources, wrong_figures
from report_version import MadeUp, register_version

from infra.catalogue.votes import VoteRow
from mer.report.page import render
from tasks.learn.search_record import FILE, KIND
from tasks.report.build import collected, report_data, tracked_metrics
from tasks.report.made import make_report
from tasks.report.predictions_table import COLUMNS
from tasks.report.sections.order import SECTIONS
from tasks.report.written import home_page, rendered
from tasks.stage.references import ModelVersion
from tasks.stage.workspace import Workspace, workspace

HOSTILE = "=cmd|' /C calc'!A0<script>alert(1)</script>\"'&{{7*7}}</style>"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A home with two versions of a model; the first one's run kept no figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MER_HOME", str(tmp_path_factory.mktemp("report") / "home"))
        space = workspace()
        register_version(space, MadeUp(kept=False))
        register_version(space, MadeUp(seed=1))
        yield space


@pytest.fixture
def home(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The same, as the workspace of this test's process."""
    monkeypatch.setenv("MER_HOME", str(space.settings.home))
    return space


def test_every_figure_is_found_in_the_artifacts(home: Workspace) -> None:
    row = home.catalogue.model_version("made-up", 2)
    found = collected(home, row)
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
    sources = Sources(home, row, found.against)
    assert wrong_figures(page, sources) == []
    source, text = shown.figures[0]
    before, name, after = page.partition(f'data-from="{source}">{text}')
    assert name
    wrong = f'{before}data-from="{source}">{float(text) + 0.002:.3f}{after}'.replace(
        "</main>", "<p>.5</p></main>"
    )
    noticed = [line.partition(":")[0] for line in wrong_figures(wrong, sources)]
    assert sorted(noticed) == sorted([source.partition(":")[0], "no source"]), "what is another is noticed"


def test_what_an_earlier_run_did_not_keep_is_said(home: Workspace) -> None:
    row = home.catalogue.model_version("made-up", 1)
    found = collected(home, row)
    data = report_data(found)
    absent = {section.name: section.absent for section in data.sections if section.absent}
    assert set(absent) == {
        "weights",
        "layers",
        "alignment",
        "maps",
        "label-shift",
        "curves",
        "search",
        "agreement",
    }
    assert all("\n" not in text and text.endswith(".") for text in absent.values())
    assert len(data.sections) == len(SECTIONS)
    assert wrong_figures(render(data), Sources(home, row, found.against)) == []


def test_hostile_names_are_text_and_predictions_are_those_of_all_scored_clips(home: Workspace) -> None:
    row = register_version(home, MadeUp(prefix=HOSTILE, speaker_prefix=HOSTILE), "hostile")
    report = rendered(collected(home, row))
    assert "<script" not in report.page and "&lt;script&gt;" in report.page
    assert report.page.count("</style>") == 1
    assert wrong_figures(report.page, Sources(home, row, None)) == [], "its tags are balanced, too"
    rows = list(csv.DictReader(io.StringIO(report.predictions)))
    assert rows[0]["name"].startswith("'=cmd"), "no spreadsheet runs it"
    assert list(rows[0]) == [*COLUMNS, "p_angry", "p_happy", "p_sad"]
    assert {one["set"] for one in rows} == {"out of fold", "holdout"} and len(rows) == 60
    first = rows[0]
    assert sum(float(first[f"p_{name}"]) for name in ("angry", "happy", "sad")) == pytest.approx(1, abs=1e-5)
    assert float(first[f"p_{first['answer']}"]) == float(first["confidence"])


def test_votes_of_annotators_are_a_section(home: Workspace) -> None:
    row = register_version(home, MadeUp(prefix="voted"), "voted")
    names = [clip.name for clip in home.catalogue.clips("voted")][:6]
    said = ["angry", "angry", "happy"]
    votes = {
        name: [VoteRow(f"<b>{who}", said[(place + who) % 3], 1.0, None) for who in range(3)]
        for place, name in enumerate(names)
    }
    home.catalogue.set_votes("voted", votes)
    page = render(report_data(collected(home, row)))
    assert "Krippendorff" in page
    assert "&lt;b&gt;0" in page
    assert "<b>0" not in page
    assert wrong_figures(page, Sources(home, row, None)) == []


def test_a_study_around_the_recipe_is_shown_with_its_history(home: Workspace) -> None:
    row = register_version(home, MadeUp(kept=False), "searched")
    made = collected(home, row)
    trials = [
        {"number": number, "waf": waf, "ended": number != 2, "again": 0.55 if number in (0, 3) else None,
         "recipe_itself": number == 0, "options": {"hidden": str(8 * (number + 1)), "model": "<i>concat"}}
        for number, waf in enumerate((0.5, 0.6, 0.2, 0.7, 0.65))
    ]  # fmt: skip
    record = {
        "study": "made/study", "membership": row.snapshot_id, "finished": 5, "trials": trials, "best": 3,
        "importance": {"hidden": 0.8, "model": 0.2}, "best_recipe": made.package.recipe.model_dump(mode="json"),
    }  # fmt: skip
    meta = {"study": "made/study", "corpus": "searched", "recipe": "made-up"}
    for key, values in (("a" * 64, record | {"finished": 4}), ("b" * 64, record)):
        ref = home.artifacts.commit(KIND, key, {FILE: json.dumps(values).encode()}, meta=meta)
        home.catalogue.record_artifact(ref, stage=KIND, code_version="test")
    found = collected(home, row)
    page = render(report_data(found))
    assert page.count("Study made/study: score by trial") > 0 and ">0, the recipe itself<" in page
    assert "This version has its options." in page and "other clips" not in page
    assert "&lt;i&gt;concat" in page and "<i>concat" not in page
    sources = {source for source, _ in ShownFigures(page).figures if source.startswith("study ")}
    assert {source.partition("/")[0] for source in sources} == {f"study {'b' * 12}"}, "the newest record"
    assert wrong_figures(page, Sources(home, row, found.against)) == []


def test_a_large_corpus_stays_small_and_quick(home: Workspace) -> None:
    row = register_version(home, MadeUp(clips=20_000, speakers=2_000), "large")
    started = time.process_time()
    report = rendered(collected(home, row))
    seconds = time.process_time() - started
    assert len(report.page) < 5_000_000 and seconds < 10
    assert report.page.count("more</p>") == 3, "speakers and both lists of clips are cut"
    assert report.page.count("<title>") < 620


def test_a_run_writes_it_and_says_where(home: Workspace) -> None:
    row = home.catalogue.model_version("made-up", 2)
    version = ModelVersion(row.name, row.version, row.artifact)
    written = make_report.fn(version, None)
    page = home_page(home.settings, row.name, row.version)
    assert Path(written.path) == page and page.is_file()
    assert page.with_name("made-up-v2.predictions.csv").is_file()
    assert page.with_name("made-up-v2.recipe.yaml").is_file()
    assert written.uri.endswith(".json") and len(written.sha256) == 64
    assert make_report.fn(version, None) == written, "the same again"


def test_the_tracker_gets_the_same_figures(home: Workspace) -> None:
    data = report_data(collected(home, home.catalogue.model_version("made-up", 2)))
    metrics = tracked_metrics(data)
    assert metrics["report.groups.By class.angry.recall"] == pytest.approx(
        next(
            cell.value  # type: ignore[union-attr]
            for section in data.sections if section.name == "groups"
            for cell in section.blocks[0].rows[0][2:3]  # type: ignore[union-attr]
        )
    )  # fmt: skip
    assert not any("clip0" in name or "speaker0" in name for name in metrics)
