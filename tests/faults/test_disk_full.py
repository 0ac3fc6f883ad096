"""Every writer on a disk without a byte left: one message with path and bytes, what was there stays, and then it goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_report import Faults
from invariants import check_invariants
from io_faults import running_pipeline
from small_disk import FILLER, SmallDisk, small_disk

import mer
from flows.explained_errors import is_ours
from infra.artifacts import ArtifactStore
from infra.catalogue import open_catalogue
from infra.errors import StoreFull
from infra.objects import open_store
from infra.objects.bucket_address import BucketAddress
from infra.services.home_secrets import made_up_secret
from infra.services.process import ServiceProcess, ServiceState
from infra.settings import Settings, load_settings
from infra.tracking.spool import Spool
from infra.whole_files import is_temporary
from mer.adaptation.adapted_block import Adaptation
from mer.adaptation.adapter_files import save_adapter
from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.alignment.aligned_model import Alignment, AlignmentShape
from mer.alignment.alignment_files import save_alignment
from mer.alignment.config import AlignmentConfig
from mer.demo import DemoConfig
from mer.demo.corpus import _write_manifest
from mer.domain.training_domain import TrainingDomain
from mer.encoders.weight_files import sha256_remembered
from mer.errors import WriteFailed
from mer.features.clip_feature import ClipFeature
from mer.features.shard import write_shard
from mer.fusion.system import NeuralSystem
from mer.library.saved import SavedFusion, save_estimator
from mer.prediction_files import write_predictions
from mer.predictor.package import ModelPackage
from mer.recipes import Recipe
from mer.systems.record import write_record
from mer.training.checkpoint import Checkpoint
from tasks.data.passing_failures import failed_too_often
from tasks.data.quality_report import CorpusQuality, write_quality
from tasks.serve.destination import Destination

pytestmark = pytest.mark.fault
Writer = Callable[[Path, int], Any]
SHAPE = AlignmentShape(
    trained_input="vectors", source=None, trained_features=2, anchor_features=2, anchor_components=2,
    anchor_projector="linear", hidden_size=2, embedding_size=2, dropout=0.0,
)  # fmt: skip


def tensors(version: int) -> dict[str, torch.Tensor]:
    return {"a": torch.full((300,), float(version))}


def home(folder: Path) -> Settings:
    return load_settings(home=folder)


def estimator(folder: Path, version: int) -> Any:
    vectors = np.random.default_rng(0).normal(size=(12, 3))
    fusion = mer.Fusion(epochs=1, hidden=4 * version).fit(
        {"acoustic": vectors}, ["a", "b"] * 6, speakers=np.arange(12) // 3
    )
    record = SavedFusion(classes=["a", "b"], framewise={"acoustic": False})
    return save_estimator(folder / "fusion", NeuralSystem(fusion.fitted_), record)


def adapter(folder: Path, version: int) -> Any:
    fitted = Adaptation(tensors(version), [], 0, 2)
    return save_adapter(folder, fitted, "x", Block(start=0, stop=1), AdaptationConfig())


def alignment(folder: Path, version: int) -> Any:
    return save_alignment(folder, Alignment(tensors(version), [], {}, SHAPE, AlignmentConfig(), version))


def shard(folder: Path, version: int) -> Any:
    return write_shard(folder, ["clip"], [ClipFeature(np.full((1, 3), version, np.float32), True)])


def package(folder: Path, version: int) -> Any:
    features = {"modality": "acoustic", "source": "files:x"}
    recipe = Recipe.model_validate(
        {"name": f"v{version}", "emotions": ["a", "b"], "acoustic": {"features": features}}
    )
    return ModelPackage(recipe=recipe, system="fused").write(folder)


def checksum(folder: Path, version: int) -> Any:
    file = folder / "weights.bin"
    if not file.exists():
        file.write_bytes(b"weights")
    import os

    os.utime(file, (version, version))
    return sha256_remembered(file, folder)


def state(folder: Path, version: int) -> Any:
    return ServiceProcess("s", folder)._write(ServiceState("s", "", version, 0, "", 0.0))


def bucket_owner(folder: Path, version: int) -> Any:
    settings = home(folder)
    return BucketAddress.parse(f"s3://clips?endpoint=http://h{version}:1", settings).own(settings)


def artifact(folder: Path, version: int) -> Any:
    settings = home(folder)
    store = ArtifactStore(open_store(settings), settings.cache_folder)
    return store.commit("kind", f"key{version}", {"a": b"x" * 999 + bytes([version])})


def row(folder: Path, version: int) -> Any:
    with open_catalogue(home(folder)) as catalogue:
        for number in range(8):
            catalogue.upsert_corpus(f"c{version}.{number}", "/" + "x" * 9000, "folder", ("neutral",))


WRITERS: dict[str, Writer] = {
    "checkpoint": lambda folder, version: Checkpoint(folder / "c").save(tensors(version), {"v": version}),
    "fusion": estimator,
    "adapter": adapter,
    "alignment": alignment,
    "shard": shard,
    "domain": lambda folder, version: TrainingDomain("utterance", {}, (), float(version)).save(folder),
    "record of a system": lambda folder, version: write_record(folder, f"kind{version}"),
    "package": package,
    "predictions": lambda folder, version: write_predictions(folder / "p.csv", (), [f"c{version}"]),
    "answers": lambda folder, version: Destination(folder / "p.csv").write(f"{version}\n"),
    "quality": lambda folder, version: write_quality(
        CorpusQuality("c", "haar", {f"x{version}": None}, {f"x{version}": "0"}), folder / "q.csv"
    ),
    "checksum": checksum,
    "demo": lambda folder, version: _write_manifest(folder / "demo.json", str(version), DemoConfig()),
    "event": lambda folder, version: Spool(folder).add({"v": version}),
    "state of a service": state,
    "secret": lambda folder, version: made_up_secret(home(folder), f"s{version}"),
    "bucket": bucket_owner,
    "artifact": artifact,
    "failures": lambda folder, version: failed_too_often(folder, "key", [f"c{version}"], 1),
    "catalogue": row,
}
UNMOUNTED = {"catalogue"}
"""Writers whose file system must be full indeed."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", kilobytes=4096) as mounted:
        yield mounted


def visible(folder: Path) -> dict[str, bytes]:
    """Content of all files that readers see; of a database its rows are read instead."""
    names = {path: path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {
        str(name): path.read_bytes()
        for path, name in names.items()
        if path.name != FILLER and "catalogue" not in path.name and "blobs" not in name.parts
        and path.suffix != ".lock"
    }  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
def test_disk_full(writer: str, disk: SmallDisk, faults: Faults) -> None:
    faults.row = "disk full: every writer"
    if writer in UNMOUNTED and not disk.mounted:
        pytest.skip("takes the right to mount a file system")
    folder, write = disk.root / "folder", WRITERS[writer]
    folder.mkdir()
    write(folder, 1)
    before = visible(folder)
    disk.fill()
    faults.injected += 1
    with pytest.raises(Exception) as caught:  # which type is what is tested
        write(folder, 2)
    error: Any = caught.value
    assert is_ours(error), f"a raw error: {error!r}"
    assert isinstance(error, WriteFailed | StoreFull), repr(error)
    message = str(error)
    assert re.search("no space left|No space left", message) and "\n" not in message
    assert str(disk.root) in message and "partial" not in message
    if writer not in (
        "answers",
        "catalogue",
    ):  # the trial before anything is computed; a database does not say
        assert re.search(r"\b[1-9]\d* bytes wanted for", message), message
        assert error.bytes_requested > 0
    after = visible(folder)
    assert after == before, f"{after.keys()} {before.keys()}"
    left = [path for path in folder.rglob("*") if is_temporary(path.name) or path.parent.name == ".staging"]
    assert left == []
    disk.free()
    write(folder, 2)
    assert visible(folder) != before or writer in ("catalogue", "artifact")


def test_a_run_on_a_disk_that_gets_full_goes_on_when_there_is_space(tmp_path: Path, faults: Faults) -> None:
    faults.row = "disk full: every writer"
    with running_pipeline(tmp_path) as pipeline, small_disk(tmp_path / "disk", kilobytes=400) as disk:
        if not disk.mounted:
            pytest.skip("takes the right to mount a file system")
        runs: list[dict[str, Any]] = []
        for kilobytes in (400, 560, 800, 4000):
            disk.grow(kilobytes)
            runs.append(pipeline.order(disk.root / "home"))
            faults.injected += 1
            if "result" not in runs[-1]:
                assert "no space left" in runs[-1]["explained"], json.dumps(runs[-1])
                assert str(disk.root) in runs[-1]["explained"]
            check_invariants(load_settings(home=disk.root / "home"), recovered=False)
        assert "result" not in runs[0], "the disk was not full"
        assert runs[-1]["result"]["sha256"] == pipeline.sha256
        check_invariants(load_settings(home=disk.root / "home"), recovered=True)
