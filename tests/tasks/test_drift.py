"""A look at new clips with a registered version and real files: what drifted, once and again, and what costs nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from alignment_corpus import write_corpus

from mer.clips import Clip
from mer.drift.config import DriftConfig
from mer.evaluation.calibration import fit_temperature
from mer.examples import Examples
from mer.posteriors import Posteriors
from mer.predictor import measuring
from mer.predictor.measuring import read_with_package
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.recipes import Recipe
from mer.stream_tables import FeatureTable
from mer.systems.kinds import FitData, FitRun, fit_system
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.serve.drift import REPORT, DriftFound, DriftRequest, drift_of
from tasks.serve.evaluation_files import HOLDOUT, OUT_OF_FOLD
from tasks.serve.new_labels import new_labels
from tasks.stage.workspace import Workspace, workspace

EMOTIONS = ("happy", "sad")
CONFIG = DriftConfig(alpha=0.05, permutations=199)
RECIPE = Recipe.model_validate(
    {
        "name": "watched",
        "emotions": EMOTIONS,
        "streams": {"visual": {"features": {"modality": "visual", "source": "files:face"}}},
    }
)


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogued corpus, whose 54 labelled clips a champion was trained and scored on."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    root = write_corpus(tmp_path / "corpus", folders=False, clips=60)
    ingest(root)
    space = workspace()
    rows = [row for row in space.catalogue.clips("corpus") if row.emotion in EMOTIONS]
    snapshot = space.catalogue.snapshot("corpus", rows).id
    ids = tuple(row.name for row in rows)
    values = np.stack([np.load(root / f"features/face/{name}.npy") for name in ids])
    emotion = np.array([EMOTIONS.index(str(row.emotion)) for row in rows])
    everyone = np.ones(len(ids), bool)
    examples = Examples(
        ids, emotion, np.full(len(ids), np.nan, np.float32), tuple(row.speaker for row in rows),
        np.arange(len(ids)) % 2, np.ones(len(ids), np.float32),
    )  # fmt: skip
    tables = {"states": {"visual": FeatureTable(ids, values, everyone)}}
    system = fit_system(
        "linear",
        FitData(tables, examples, everyone, ~everyone, EMOTIONS),
        {"inverse_penalty": 1.0},
        FitRun(),
    )
    said = system.posteriors(tables)
    folder = tmp_path / "package"
    temperature = fit_temperature(said.logits, emotion)
    ModelPackage(recipe=RECIPE, system="fused", temperature=temperature).write(folder)
    system.save(folder / FUSION_FOLDER)
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    package = space.artifacts.commit("model", "1" * 64, files, meta={})
    nothing = Posteriors((), np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    evaluation = space.artifacts.commit(
        "evaluation", "2" * 64, {OUT_OF_FOLD: said.to_parquet(), HOLDOUT: nothing.to_parquet()}, meta={}
    )
    space.catalogue.add_model_version(
        "watched", package, evaluation=evaluation, snapshot=snapshot, metrics={}, idempotency_key="1"
    )
    space.catalogue.set_alias("watched", "champion", 1, "the first")
    return root


def ingest(root: Path) -> None:
    listing = list_corpus.fn(str(root), "corpus", EMOTIONS)
    write_labels.fn(listing, EMOTIONS, probe_shard.fn("corpus", listing.fresh, True))


def add(root: Path, tag: str, shift: float = 0.0, *, speakers: int = 8) -> None:
    """32 more clips: sounds and vectors of the corpus' kind, of new speakers, the vectors moved."""
    rng = np.random.default_rng(len(tag))
    known = np.stack([np.load(path) for path in sorted((root / "features/face").glob("clip*.npy"))])
    rows = []
    for number in range(32):
        name = f"{tag}{number:03}"
        sound = bytearray((root / f"audio/clip{number:03}.wav").read_bytes())
        sound[-2:] = bytes([number, len(tag)])  # another content
        (root / f"audio/{name}.wav").write_bytes(bytes(sound))
        place = known[rng.integers(len(known))] + 0.05 * rng.normal(size=12) + shift
        np.save(root / f"features/face/{name}.npy", place.astype(np.float32))
        rows.append(f"{name},,{tag}{number % speakers}")
    table = root / "labels.csv"
    table.write_text(table.read_text() + "\n".join(rows) + "\n")
    ingest(root)


def look(config: DriftConfig = CONFIG, **more: object) -> DriftFound:
    return drift_of.fn(replace(DriftRequest("watched", corpus="corpus", config=config), **more))  # type: ignore[arg-type]


def test_new_speakers_are_no_drift_and_a_look_is_taken_once(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training side is read once per version, new clips once, and a batch counts once in the tracked priors."""
    read = []

    def counted(folder: Path, weights: Path, clips: Sequence[Clip]) -> object:
        read.append(len(clips))
        return read_with_package(folder, weights, clips)

    monkeypatch.setattr(measuring, "read_with_package", counted)
    few = look()
    assert (few.finding, few.clips, few.ref) == ("not tested", 6, None), few.reason
    add(corpus, "first")
    calm = look()
    assert calm.finding == "no drift" and calm.action == "nothing" and calm.clips == 38, calm.reason
    assert read == [54, 38] and calm.batches == 1
    assert look() == calm and read == [54, 38], "found, not computed"
    stricter = look(CONFIG.model_copy(update={"alpha": 0.02}))
    assert stricter.tests and read == [54, 38], "other thresholds read no clip again"
    add(corpus, "other")
    two = look()
    assert read == [54, 38, 70]
    assert two.batches == 2 and set(two.tracked) == set(EMOTIONS)
    assert sum(now for _, now, _ in two.tracked.values()) == pytest.approx(1)


def test_moved_features_are_drift_that_starts_a_retraining(corpus: Path) -> None:
    add(corpus, "moved", shift=3.0, speakers=16)
    found = look(CONFIG.model_copy(update={"start_clips": 30}), policy="start")
    assert found.finding == "drift" and found.action == "start", found.reason
    alarms = {one["family"] for one in found.tests if one["alarm"]}
    assert "embeddings" in alarms and "quality" not in alarms
    assert found.ref is not None
    space = workspace()
    report = json.loads(space.artifacts.read(found.ref, REPORT))
    assert report["verdict"]["finding"] == "drift" and report["config"]["policy"] == "start"
    for name in ("drift_effects.png", "drift_distributions.png"):
        assert space.artifacts.read(found.ref, name).startswith(b"\x89PNG")


def test_clips_of_no_corpus_are_compared_by_folder(corpus: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for speaker in range(6):
        folder = tmp_path / f"asked/s{speaker}/features/face"
        folder.mkdir(parents=True)
        for number in range(6):
            np.save(folder / f"n{speaker}{number}.npy", rng.normal(8, 1, 12).astype(np.float32))
    paths = tuple(str(tmp_path / f"asked/s{speaker}") for speaker in range(6))
    found = look(corpus="", paths=paths)
    assert found.clips == 36 and found.finding == "drift", found.reason
    assert any("each folder" in note for note in found.notes)


def test_a_version_without_predictions_of_its_own_says_so(corpus: Path) -> None:
    space: Workspace = workspace()
    package = space.catalogue.model_version("watched", 1).artifact
    space.catalogue.add_model_version("bare", package, metrics={}, idempotency_key="b")
    add(corpus, "first")
    found = look(model="bare")
    assert found.finding == "not tested" and "did not learn" in found.reason


def test_labels_of_new_clips_and_changed_ones_are_new_to_the_champion(corpus: Path) -> None:
    space: Workspace = workspace()
    champion = space.catalogue.champion("watched")
    assert champion is not None

    def counted() -> int:
        return new_labels(
            space, space.catalogue.snapshot("corpus", space.catalogue.clips("corpus")).id, champion
        )

    assert counted() == 0
    table = corpus / "labels.csv"
    lines = [line.replace(",,", ",sad,") for line in table.read_text().splitlines()]  # 6 had none
    other = {"happy": "sad", "sad": "happy"}
    name, emotion, who = lines[1].split(",")
    lines[1] = f"{name},{other[emotion]},{who}"
    table.write_text("\n".join(lines) + "\n")
    ingest(corpus)
    assert counted() == 7
