"""Quality by the detector of the crops: which one measures, what is measured again, and the report for people."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from infra.catalogue import QualityRow
from infra.settings import load_settings
from mer.demo.clip_file import write_clip
from mer.demo.face import Expression, draw_face, make_looks
from mer.emotions import MER_EMOTIONS
from mer.errors import ConfigError, WeightsError
from mer.media.detector_choice import COPIES_FOLDER
from mer.predictor.package import detector_path
from mer.quality.filters import QualityFilter
from mer.recipes import Recipe, load_recipe, parse_recipe
from mer.recipes.face_detectors import named_detectors, quality_detector
from tasks.data.face_detectors import detector_line, settled_recipe
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.data.quality import filtered, known_quality, measure_shard, plan_quality, quality_method
from tasks.data.quality_report import catalogued_corpus, corpus_quality, write_quality
from tasks.serve.promotion import _detector_files
from tasks.stage.references import FeatureSetRef, SnapshotPlan, StreamInput
from tasks.stage.workspace import Workspace, workspace

YUNET_NAME = "face_detection_yunet_2023mar.onnx"
SHA8 = "ebafce4e"


@pytest.fixture
def yunet(shared_data: Path) -> Path:
    return shared_data / "models" / "face_detection_yunet_2026may.onnx"


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Three short films of a drawn face, of which two are equal, and nobody speaks."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    root = tmp_path / "films"
    root.mkdir()
    for number, name in enumerate(("a", "b")):
        face = draw_face(make_looks(number), Expression(), 0.1, (0.0, 0.0))
        write_clip(root / f"{name}.mp4", np.stack([face] * 5), 5, None, 16_000)
    shutil.copy(root / "b.mp4", root / "copy of b.mp4")
    listing = list_corpus.fn(str(root), "c", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("c", listing.fresh, False))
    return workspace()


def recipe(detector: str) -> Recipe:
    return parse_recipe(
        "name: r\nacoustic: {features: {source: 'wheel:moonshine-tiny'}}\n"
        f"visual: {{features: {{source: 'seed:clip-tiny', frames: {{detector: {detector}}}}}}}\n",
        origin="test",
    )


@pytest.mark.parametrize(
    ("detector", "measures"),
    [
        ("haar", "haar"),
        ("/a/yunet.onnx", "/a/yunet.onnx"),
        ("null", "auto"),
        ("openface", "auto"),
        ("auto", "auto"),
    ],
)
def test_quality_is_measured_by_the_detector_of_the_crops(detector: str, measures: str) -> None:
    assert quality_detector(recipe(detector)) == measures
    assert SnapshotPlan.of(recipe(detector)).detector == measures


def test_without_pictures_quality_is_measured_by_what_is_there() -> None:
    speech = parse_recipe("name: r\nacoustic: {features: {source: 'wheel:moonshine-tiny'}}", origin="test")
    assert (named_detectors(speech), quality_detector(speech)) == ((), "auto")


@pytest.mark.parametrize("how", ["placed", "named", "in the recipe", "nowhere", "haar is named"])
def test_auto_is_settled_where_the_recipe_is_loaded(
    how: str, yunet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path))
    weights = load_settings().weights_folder
    weights.mkdir()
    if how in ("placed", "haar is named"):
        shutil.copy(yunet, weights / YUNET_NAME)
    if how in ("named", "haar is named"):
        monkeypatch.setenv("MER_FACE_DETECTOR", str(yunet) if how == "named" else "haar")
    plain = recipe(str(yunet)) if how == "in the recipe" else load_recipe("clips")
    loaded = settled_recipe(plain, load_settings())
    (name,) = named_detectors(loaded)
    assert name.startswith(f"yunet:{SHA8}") == (how not in ("nowhere", "haar is named"))
    assert name.startswith(f"yunet:{SHA8}") or name == "haar"
    visual = loaded.streams["visual"].features.frames
    assert (visual.frames, visual.size) == (
        plain.streams["visual"].features.frames.frames,
        plain.streams["visual"].features.frames.size,
    )
    assert str(tmp_path) not in loaded.model_dump_json(), "no path decides a key or goes into a package"
    line = detector_line(name, load_settings())
    assert ("MER_FACE_DETECTOR" in line and str(weights) in line) == (name == "haar")
    assert "ms a frame" in line and "\n" not in line and "http" not in line


def test_a_detector_that_is_named_and_absent_is_said_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path))
    monkeypatch.setenv("MER_FACE_DETECTOR", str(tmp_path / "absent.onnx"))
    with pytest.raises(
        WeightsError, match=r"^MER_FACE_DETECTOR=.*expected YuNet's ONNX file at .*absent\.onnx, found none"
    ):
        settled_recipe(load_recipe("clips"), load_settings())
    settled_recipe(load_recipe("demo"), load_settings())  # which needs none
    monkeypatch.setenv("MER_FACE_DETECTOR", "")
    assert named_detectors(settled_recipe(load_recipe("clips"), load_settings())) == ("haar",)


def test_the_method_names_the_detector() -> None:
    assert quality_method("haar") == "1:haar"
    assert quality_method("yunet:" + "ab" * 32) == "1:yunet:abababab"
    assert quality_method("openface") == "1:none"


def test_another_detector_measures_again_and_both_values_stay(space: Workspace, yunet: Path) -> None:
    (shard,) = plan_quality.fn("c", 10)
    assert len(shard) == 2, "equal contents are measured once"
    assert measure_shard.fn("c", shard) == 2
    assert plan_quality.fn("c", 10) == (), "nothing is measured twice"
    by_haar = known_quality(space, "c", space.catalogue.clips("c"), "haar")
    assert all(values is not None for values in by_haar.values())
    space.weights.mkdir(exist_ok=True)
    shutil.copy(yunet, space.weights / YUNET_NAME)
    (again,) = plan_quality.fn("c", 10)
    assert again == shard, "auto is another detector now"
    assert measure_shard.fn("c", again) == 2
    assert set(space.catalogue.quality("c", "1:haar")) == set(space.catalogue.quality("c", f"1:yunet:{SHA8}"))
    assert plan_quality.fn("c", 10, "haar") == ()
    assert known_quality(space, "c", space.catalogue.clips("c"), "haar") == by_haar


def test_bounds_ask_the_values_of_the_recipes_detector(space: Workspace) -> None:
    rows = space.catalogue.clips("c")
    facts = {"method": "1:haar", "duration_seconds": 1.0}
    space.catalogue.set_quality([QualityRow(content=row.content, face_share=0.0, **facts) for row in rows])  # type: ignore[arg-type]
    bounds = QualityFilter(min_face_share=0.5, unknown="leave_out")
    assert filtered(space, "c", rows, bounds, "haar").counts == {"min_face_share": 3}
    assert filtered(space, "c", rows, bounds, "openface").counts == {"unmeasured": 3}


def test_the_report_measures_what_is_missing_and_nothing_twice(space: Workspace) -> None:
    steps: list[tuple[int, int]] = []
    bare = corpus_quality(space, "c", "auto", measure=False)
    assert set(bare.measured.values()) == {None}
    report = corpus_quality(space, "c", "auto", progress=lambda done, total: steps.append((done, total)))
    assert (report.detector, steps, report.unmeasured) == ("haar", [(1, 2), (2, 2)], {})
    assert list(report.measured) == sorted(row.name for row in space.catalogue.clips("c"))
    assert all(values is not None and values.brightness is not None for values in report.measured.values())
    again = corpus_quality(space, "c", "auto", progress=lambda done, total: steps.append((done, total)))
    assert (again.measured, len(steps)) == (report.measured, 2)


def test_a_clip_that_cannot_be_measured_is_named_and_does_not_stop_the_others(space: Workspace) -> None:
    path = next(row.path for row in space.catalogue.clips("c") if row.name == "a")
    path.write_bytes(b"not media any more")
    report = corpus_quality(space, "c", "auto")
    assert list(report.unmeasured) == ["a"] and report.measured["a"] is None
    assert sum(values is not None for values in report.measured.values()) == 2


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_rows_are_written_and_read_back(space: Workspace, suffix: str, tmp_path: Path) -> None:
    report = corpus_quality(space, "c", "auto")
    target = tmp_path / "new folder" / f"quality{suffix}"
    write_quality(report, target)
    read = {
        ".csv": lambda: list(csv.DictReader(target.read_text(encoding="utf-8").splitlines())),
        ".parquet": lambda: pq.read_table(target).to_pylist(),
        ".json": lambda: json.loads(target.read_text(encoding="utf-8")),
    }[suffix]()
    assert [row["name"] for row in read] == list(report.measured)
    for row in read:
        values = report.measured[row["name"]]
        assert values is not None and values.brightness is not None
        assert float(row["brightness"]) == pytest.approx(values.brightness, rel=1e-5)
        assert row["speech_seconds"] in ("", None), "there is no sound"
        assert (row["method"], len(row["content"])) == ("1:haar", 64)
    assert [path.name for path in target.parent.iterdir()] == [target.name], "nothing half-written is left"


@pytest.mark.parametrize("name", ["quality.xlsx", "quality", "."])
def test_other_files_are_refused(space: Workspace, name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a file"):
        write_quality(corpus_quality(space, "c", "auto", measure=False), tmp_path / name)


@pytest.mark.parametrize("given", ["c", "films", "the folder"])
def test_a_corpus_is_named_by_its_name_or_folder(space: Workspace, given: str) -> None:
    root = str(space.catalogue.corpus_root("c"))
    assert catalogued_corpus(space, root if given == "the folder" else given) == "c"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nothing", "expected one of c; `mer ingest --corpus PATH` reads one in"),
        ("a folder", "expected one of c; `mer ingest --corpus .* reads it in first"),
    ],
)
def test_a_corpus_that_is_not_there_is_said_with_what_to_do(
    space: Workspace, given: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(LookupError, match=says):
        catalogued_corpus(space, str(tmp_path) if given == "a folder" else given)


def test_the_copy_of_a_named_file_serves_workers(space: Workspace, yunet: Path) -> None:
    settled = settled_recipe(recipe(str(yunet)), space.settings)
    assert [path.suffix for path in (space.weights / COPIES_FOLDER).iterdir()] == [".onnx"]
    assert named_detectors(settled_recipe(settled, space.settings)) == named_detectors(settled)


def test_a_registered_package_gets_the_detectors_file(space: Workspace, yunet: Path) -> None:
    stream = settled_recipe(recipe(str(yunet)), space.settings).streams["visual"]
    plain = recipe("haar").streams["visual"]
    inputs = {
        name: StreamInput(name, name, options, FeatureSetRef(name, "0" * 64, options.features, "c"))
        for name, options in (("face", stream), ("again", stream), ("plain", plain))
    }
    ((inside, file),) = _detector_files(space, inputs).items()
    assert inside == detector_path(str(stream.features.detector)) and isinstance(file, Path)
    assert file.read_bytes() == yunet.read_bytes()
