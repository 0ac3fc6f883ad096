"""The fixed generator: its worlds, and what is served held against logistic regression on two of its cells."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from benchmarks.fusion.fixed_generator import SYSTEMS
from benchmarks.fusion.worlds import FORMS, TESTED, made_world


def test_worlds_are_fixed() -> None:
    """Another world is another benchmark: a changed digest is a new baseline."""
    found = hashlib.sha256()
    for form in FORMS:
        world = made_world(form, 40, 48, 4, 0)
        again = made_world(form, 40, 48, 4, 0)
        assert all(np.array_equal(world.streams[k], again.streams[k], equal_nan=True) for k in world.streams)
        found.update(world.truth.tobytes() + world.given.tobytes())
        assert len(world.truth) == TESTED and {v.shape[1] for v in world.streams.values()} == {48, 12, 24}
        absent = np.isnan(world.streams["acoustic"]).all(axis=1).mean()
        assert (0.25 < absent < 0.4) if form == "missing" else absent == 0
    assert found.hexdigest()[:12] == "db12a5db798c"


@pytest.mark.parametrize("form", ["linear", "missing"])
def test_what_is_served_is_no_worse_than_logistic_regression(form: str) -> None:
    differences = []
    for seed in range(2):
        world = made_world(form, 100, 64, 4, seed)  # type: ignore[arg-type]
        answers = {name: SYSTEMS[name](world) for name in ("tuned", "fusion", "searched")}
        assert (answers["fusion"] == answers["searched"]).mean() > 0.99
        score = {name: float((of == world.truth).mean()) for name, of in answers.items()}
        differences.append(score["searched"] - score["tuned"])
    assert np.mean(differences) > -0.02
