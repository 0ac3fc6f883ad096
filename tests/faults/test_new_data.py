"""News of clips comes twice, late and in any order: every order ends with the same model, nothing counted twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fault_report import Faults
from invariants import check_invariants
from plain_flow import SmallHome, plainly

from infra.catalogue import open_catalogue

pytestmark = pytest.mark.fault

BATCHES = {"one": 11, "two": 12, "three": 13}
"""Batch -> seed of its clips."""
CLIPS = 6


def _events(order: int) -> list[str]:
    """The batches in an order of its own; some news come twice, some before their clips."""
    rng = random.Random(order)
    events = [
        *BATCHES,
        *rng.choices(list(BATCHES), k=rng.randint(1, 2)),
        *rng.choices(["early"], k=rng.randint(0, 1)),
    ]
    rng.shuffle(events)
    return events


def _end_of(folder: Path, order: int) -> tuple[str, dict[str, str | None]]:
    """sha256 of the newest version's artifact, and every clip's label, after the events of this order."""
    home, seen = SmallHome(folder), set[str]()
    for event in _events(order):
        if event in BATCHES and event not in seen:
            seen.add(event)
            home.add_clips(event, CLIPS, BATCHES[event])
        with plainly():
            home.run()
        check_invariants(home.settings, recovered=True)
    with open_catalogue(home.settings) as catalogue:
        states = 1 + len(seen) if _events(order)[0] not in BATCHES else len(seen)
        versions = catalogue.model_versions("small")
        assert len(versions) == states, (
            f"{len(versions)} versions of {states} states of the corpus: {_events(order)}"
        )
        return versions[-1].artifact.sha256, {row.name: row.emotion for row in catalogue.clips("small")}


def _all_alike(orders: range, folder: Path, faults: Faults) -> None:
    faults.row = "duplicate, reordered, late events"
    first, *others = (_end_of(folder / str(order), order) for order in orders)
    faults.injected += len(orders)
    assert all(other == first for other in others)


def test_some_orders_end_alike(tmp_path: Path, faults: Faults) -> None:
    _all_alike(range(3), tmp_path, faults)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_fifty_orders_end_alike(tmp_path: Path, faults: Faults) -> None:
    _all_alike(range(50), tmp_path, faults)
