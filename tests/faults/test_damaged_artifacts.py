"""Bytes that changed behind the back of a run: every one is seen before it is used, and what it belonged to is computed again."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_report import Faults
from invariants import check_invariants, stored_keys, within

from infra.artifacts import ArtifactRef
from tasks.stage.run import Produced, StageRun, run_stage
from tasks.stage.workspace import Workspace, workspace

pytestmark = pytest.mark.fault

ROW = "truncated, flipped, edited, deleted"
EACH = 50
"""Positions of each kind: 200 in all."""
SIZES = {"weights.safetensors": 40_000, "index.parquet": 900, "report.json": 30}


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


class Stage:
    """A stage that counts how often it computes, and a stage behind it that reads what it made."""

    def __init__(self) -> None:
        self.computed = 0

    def produce(self, run: StageRun) -> Produced:
        self.computed += 1
        files: dict[str, Path | bytes] = {}
        for name, size in SIZES.items():
            path = run.folder / name
            path.write_bytes(random.Random(name).randbytes(size))
            files[name] = path
        return Produced(files=files, meta={"size": sum(SIZES.values())})

    def run(self) -> ArtifactRef:
        return run_stage("first", inputs={"data": "x"}, config={}, produce=self.produce).ref


def used(space: Workspace, ref: ArtifactRef) -> str:
    """What a next stage would compute of it: a digest over what it reads."""
    folder = space.artifacts.fetch(ref)
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in sorted(SIZES))).hexdigest()


def objects(space: Workspace) -> list[Path]:
    root = space.settings.home / "objects"
    return [root / key for prefix in ("blobs", "manifests") for key in stored_keys(space.settings, prefix)]


def cached(space: Workspace) -> list[Path]:
    return sorted(
        path for path in space.settings.cache_folder.rglob("*") if path.is_file() and path.stat().st_size
    )


def truncate(path: Path, generator: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: generator.randrange(len(data))])


def flip(path: Path, generator: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(bytes(data))


def edit(path: Path, generator: random.Random) -> None:
    """As somebody does who means it: the same length, another content."""
    path.write_bytes(generator.randbytes(path.stat().st_size))


def delete(path: Path, _: random.Random) -> None:
    path.unlink()


def positions(seed: str) -> Iterator[random.Random]:
    return (random.Random(f"{seed} {number}") for number in range(EACH))


@pytest.mark.parametrize("damage", [truncate, flip, delete])
def test_an_artifact_that_was_damaged_is_computed_again(
    space: Workspace, damage: Callable[[Path, random.Random], None], faults: Faults
) -> None:
    faults.row = ROW
    stage = Stage()
    first = stage.run()
    expected = used(space, first)
    with within(seconds=30):
        for generator in positions(damage.__name__):
            before = stage.computed
            damage(generator.choice(objects(space)), generator)
            faults.injected += 1
            ref = stage.run()
            assert stage.computed == before + 1, "the damage was not seen"
            assert (ref, used(space, ref)) == (first, expected)
            assert stage.run() == first
            assert stage.computed == before + 1, "it was not healed"
    check_invariants(space.settings, recovered=True)


def test_a_local_copy_that_was_edited_is_fetched_again(space: Workspace, faults: Faults) -> None:
    faults.row = ROW
    stage = Stage()
    first = stage.run()
    expected = used(space, first)
    with within(seconds=30):
        for generator in positions("cached"):
            generator.choice((edit, flip, truncate, delete))(generator.choice(cached(space)), generator)
            faults.injected += 1
            assert stage.run() == first
            assert used(space, first) == expected
    assert stage.computed == 1
    check_invariants(space.settings, recovered=True)
