"""A clean-up and a run beside it, in many orders: at each step of the one the whole other is begun, and waits where it must.

A step is an access to the object store or the beginning of a transaction. Whatever the order, what the run found or committed is
whole afterwards, and an equal run finds it.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aged_home import pass_days
from fault_report import Faults
from invariants import check_invariants

from tasks.prune.run import PruneAtWork, PrunePlan, prune
from tasks.stage.run import Produced, StageResult, StageRun, run_stage
from tasks.stage.workspace import Workspace, workspace

pytestmark = pytest.mark.fault
PLAN = PrunePlan(days=30)
NAMES = ("old", "unrecorded", "shares a blob")
BLOCKED_SECONDS = 0.25
"""By then the other one is done, or waits for a lock that we hold."""


def _produced(run: StageRun) -> Produced:
    return Produced(files={"own": run.folder.name.encode(), "shared": b"equal in all stages"})


def _stages() -> list[StageResult]:
    """What a run looks up or computes: all of it is out of retention, or has blobs that are."""
    return [run_stage("test", inputs={"name": name}, config={}, produce=_produced) for name in NAMES]


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the run of these stages is long ago, one was never recorded, and one never came to its commit."""
    home = tmp_path_factory.mktemp("orders") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MER_HOME", str(home))
        space = workspace()
        refs = [result.ref for result in _stages()]
        space.catalogue.forget_artifact("test", refs[1].key, None, lambda: None)
        space.artifacts.discard(refs[2])
        for name in "abcd":
            pass_days(space.settings, 20)
            run_stage(
                "test", inputs={"day": name}, config={}, produce=lambda run: Produced(files={"day": b"1"})
            )
        space.catalogue.close()
    return home


@contextmanager
def _steps(space: Workspace, at_step: Callable[[int], None]) -> Iterator[Callable[[], int]]:
    """Call `at_step(number)` before each step of this thread in the block; gives a function that says how many there were."""
    mine, seen = threading.get_ident(), 0
    objects, database = space.artifacts.objects, space.catalogue.database
    real = {
        (owner, name): getattr(owner, name)
        for owner, names in (
            (objects, ("put", "get", "stream", "delete", "exists", "found", "listed")),
            (database, ("reading", "writing")),
        )
        for name in names
    }

    def stepping(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal seen
            if threading.get_ident() == mine:
                seen += 1
                at_step(seen)
            return function(*arguments, **more)

        return call

    for (owner, name), function in real.items():
        setattr(owner, name, stepping(function))
    try:
        yield lambda: seen
    finally:
        for owner, name in real:
            delattr(owner, name)


def _one_beside_the_other(
    space: Workspace, first: Callable[[], object], other: Callable[[], object], step: int
) -> int:
    """Run `first`, and from its given step on `other` beside it; returns the number of its steps."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            other()
        except BaseException as error:
            errors.append(error)

    beside = threading.Thread(target=guarded)

    def at_step(number: int) -> None:
        if number == step:
            beside.start()
            beside.join(BLOCKED_SECONDS)

    with _steps(space, at_step) as steps:
        first()
    if beside.ident is not None:
        beside.join(60)
        assert not beside.is_alive()
    assert not errors, errors
    return steps()


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("begins", ["the clean-up", "the run"])
def test_orders_of_a_clean_up_and_a_run(
    begins: str, every: int, aged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    faults.row = "clean-up beside a run"
    step, steps = 1, 1
    while step <= steps:
        home = tmp_path / f"home{step}"
        shutil.copytree(aged, home, copy_function=shutil.copy2)
        monkeypatch.setenv("MER_HOME", str(home))
        space = workspace()

        def clean() -> None:
            try:
                prune(space, PLAN)  # noqa: B023
            except PruneAtWork:
                raise AssertionError("one clean-up at a time") from None

        first, other = (clean, _stages) if begins == "the clean-up" else (_stages, clean)
        steps = _one_beside_the_other(space, first, other, step)
        faults.injected += 1
        assert not any(result.ran for result in _stages()), (
            f"step {step}: an equal run finds what the run had"
        )
        for result in _stages():
            space.artifacts.verify(result.ref)
        check_invariants(space.settings, recovered=True)
        space.catalogue.close()
        shutil.rmtree(home)
        step += every
    assert steps > 10
