"""`mer status` says who works on what, and what waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows.status.workers import workers
from infra.catalogue import Catalogue, ProcessRole, open_catalogue


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}") as opened:
        yield opened


def lines(catalogue: Catalogue) -> list[str]:
    return list(workers(cast(Any, SimpleNamespace(catalogue=catalogue))))


def test_workers_and_what_waits(catalogue: Catalogue) -> None:
    assert lines(catalogue) == []
    catalogue.add_task("f", "tasks.learn.fusion.fuse_view", "{}")
    assert lines(catalogue) == ["1 task waits for a worker; none is there: start some with `mer worker`"]
    for name in ("w1", "w2", "w3"):
        catalogue.beat(name, ProcessRole.WORKER, f"host:{name}", 1)
    catalogue.beat("f", ProcessRole.FLOW, "host:f", 1)
    with catalogue.database.writing() as connection:
        connection.exec_driver_sql("UPDATE task_processes SET seen_at = '2020-01-01' WHERE id = 'w3'")
    assert catalogue.take_task("w1", ["f"]) is not None
    catalogue.add_task("f", "x.y", "{}")
    first, second, third, last = lines(catalogue)
    assert (first, second) == ("task worker host:w1: runs fuse view", "task worker host:w2: waits for a task")
    assert third.startswith("task worker host:w3: not heard of for ")
    assert last == "1 task waits for a worker"
