"""kill -9 in the middle of a run, then again: it goes on, and ends with the same bytes as an undisturbed run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e_installation import Installation

from infra.catalogue import Catalogue

pytestmark = pytest.mark.slow


def _artifacts(kind: str, count: int) -> Callable[[Catalogue], bool]:
    return lambda catalogue: len(catalogue.artifacts(kind)) >= count


@pytest.mark.parametrize(
    ("moment", "when"),
    [
        pytest.param(
            "after the first clips are catalogued",
            lambda catalogue: any(c.name == "tiny" for c in catalogue.corpora()),
            marks=pytest.mark.nightly,  # the fault suite kills at every write
        ),
        pytest.param("between adapters", _artifacts("adapter", 1), marks=pytest.mark.nightly),
        pytest.param("between fusions", _artifacts("fusion", 4), marks=pytest.mark.nightly),
    ],
)
def test_a_killed_run_resumes_to_the_same_result(
    moment: str, when: Callable[[Catalogue], bool], finished: Installation, installation: Installation
) -> None:
    assert installation.run_and_kill(when), f"the run ended before it could be killed {moment}"
    kept = installation.results()
    installation.run()
    resumed = installation.results()
    assert kept.items() <= resumed.items(), "what was committed before the kill was computed again"
    assert resumed == finished.results()
    with installation.catalogue() as catalogue:
        assert [row.version for row in catalogue.model_versions("tiny")] == [1]
    assert not list(installation.settings().checkpoint_folder.glob("*/*")), "work folders were left behind"
