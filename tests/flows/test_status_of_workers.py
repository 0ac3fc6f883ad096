"""`mer status` says who works on what, and what waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows.status.workers import workers
from flows.workers.pools import CPU, GPU
from infra.catalogue import Catalogue, ProcessRole, open_catalogue


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}") as opened:
        yield opened


def lines(catalogue: Catalogue) -> list[str]:
    return list(workers(cast(Any, SimpleNamespace(catalogue=catalogue))))


def test_workers_and_what_waits(catalogue: Catalogue) -> None:
    assert lines(catalogue) == []
    catalogue.add_task("f", "tasks.learn.fusion.fuse_view", "{}", GPU)
    assert lines(catalogue) == [
        "1 task waits for a worker of mer-gpu; none is there: start some with `mer worker --pool gpu`"
    ]
    for name, pools in (("w1", [GPU]), ("w2", [CPU, GPU]), ("w3", [CPU])):
        catalogue.beat(name, ProcessRole.WORKER, f"host:{name}", 1, pools, "cpu")
    catalogue.beat("f", ProcessRole.FLOW, "host:f", 1)
    with catalogue.database.writing() as connection:
        connection.exec_driver_sql("UPDATE task_processes SET seen_at = '2020-01-01' WHERE id = 'w3'")
    assert catalogue.take_task("w1", ["f"], [GPU]) is not None
    catalogue.add_task("f", "x.y", "{}", CPU)
    by_worker = {line.split()[2]: line for line in lines(catalogue)[:-1]}
    assert by_worker["host:w1"] == "task worker host:w1 of mer-gpu (device cpu): runs fuse view"
    assert by_worker["host:w2"] == "task worker host:w2 of mer-cpu and mer-gpu (device cpu): waits for a task"
    assert by_worker["host:w3"].startswith("task worker host:w3 of mer-cpu (device cpu): not heard of for ")
    assert lines(catalogue)[-1] == "1 task waits for a worker of mer-cpu"
