"""Approval as the gate and people use it: what stands is not asked again, what was refused is not promoted by another door."""

from __future__ import annotations

from pathlib import Path

import pytest
from registered_models import make_champions, register_versions

from flows.decisions import decision_lines, evidence_lines
from infra.catalogue.actor import acting_as
from infra.errors import CatalogueError
from mer.evaluation.gate import GateDecision
from tasks.serve import approval
from tasks.serve.by_hand import promote_by_hand
from tasks.stage.references import ModelVersion
from tasks.stage.workspace import Workspace, workspace

BETTER = GateDecision(
    promote=True, reason="promoted: WAF 0.60 against 0.50 of the champion", difference=0.1, lower=0.02, challenger=0.6,
    champion=0.5, clips=40, groups=10, margin=0.0,
)  # fmt: skip


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A model with three versions, of which the first is champion; MLflow is away."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    opened = workspace()
    register_versions(opened, "calls", 3)
    make_champions(opened, "calls", [1])
    return opened


def challenger(space: Workspace, version: int = 2) -> ModelVersion:
    row = space.catalogue.model_version("calls", version)
    return ModelVersion(name="calls", version=version, ref=row.artifact, metrics={})


def ask(space: Workspace, version: int = 2) -> None:
    with acting_as("the gate, run brave-otter"):
        asked = approval.wait_for_approval(space, challenger(space, version), BETTER, 24.0, None)
    assert asked.decision == "waiting" and asked.champion == 1
    assert f"--approve {version}" in asked.reason and "promoted" not in asked.reason


def champion(space: Workspace) -> int:
    row = space.catalogue.champion("calls")
    assert row is not None
    return row.version


def test_the_next_run_finds_it_waiting(space: Workspace) -> None:
    assert approval.standing_approval(space, challenger(space), 1) is None
    ask(space)
    again = approval.standing_approval(space, challenger(space), 1)
    assert again is not None and again.decision == "waiting"
    assert len(space.catalogue.promotions("calls", "approval")) == 1
    assert champion(space) == 1
    assert space.catalogue.aliases()["calls"]["challenger"] == 2


def test_approved(space: Workspace) -> None:
    ask(space)
    with acting_as("ann"):
        row, remark = approval.approve("calls", 2, "good")
    assert (row.version, row.actor, champion(space)) == (2, "ann", 2)
    assert "follows" in remark, "MLflow is away"
    assert approval.approve("calls", 2)[0] == row


def test_refused_stays_refused_through_every_door(space: Workspace) -> None:
    ask(space)
    with acting_as("ann"):
        approval.refuse("calls", 2, "fails on whispering")
    standing = approval.standing_approval(space, challenger(space), 1)
    assert standing is not None and (standing.decision, standing.champion) == ("rejected", 1)
    assert "refused by ann: fails on whispering" in standing.reason
    with pytest.raises(CatalogueError, match="only another evaluation"):
        approval.approve("calls", 2)
    with pytest.raises(CatalogueError, match="refused by ann"):
        promote_by_hand("calls", 2)
    assert champion(space) == 1
    space.catalogue.set_alias("calls", "champion", 3, "by hand")
    assert approval.standing_approval(space, challenger(space), 3) is None, (
        "another champion: the gate compares anew"
    )


def test_time_over(space: Workspace) -> None:
    approval.wait_for_approval(space, challenger(space), BETTER, 1e-9, None)
    standing = approval.standing_approval(space, challenger(space), 1)
    assert standing is not None and standing.decision == "rejected" and "nobody decided" in standing.reason
    assert promote_by_hand("calls", 2).audit.version == 2, "by hand it still can"


def test_what_was_approved_and_rolled_back_is_not_put_back_by_the_gate(space: Workspace) -> None:
    ask(space)
    approval.approve("calls", 2)
    space.catalogue.rollback("calls", "worse in service")
    standing = approval.standing_approval(space, challenger(space), 1)
    assert standing is not None and standing.decision == "rejected" and "rolled back since" in standing.reason


def test_a_version_that_is_damaged_is_not_approved(space: Workspace) -> None:
    ask(space)
    (Path(space.settings.home) / "objects").rename(Path(space.settings.home) / "elsewhere")
    with pytest.raises(Exception, match="version 2"):
        approval.approve("calls", 2)
    assert champion(space) == 1


def test_one_answer_says_who_when_from_to_why_and_on_which_evidence(space: Workspace) -> None:
    ask(space)
    (waiting,) = space.catalogue.approvals_waiting("calls")
    assert any("WAF 0.60 against 0.50" in line for line in evidence_lines(waiting))
    with acting_as("ann"):
        row, _ = approval.approve("calls", 2, "listened to 20")
    lines = "\n".join(decision_lines(row, space.catalogue.model_version("calls", 2)))
    for part in (
        f"{row.created_at:%Y-%m-%d %H:%M} UTC", "version 2 became champion by approval", "who       ann",
        "champion: version 1 -> version 2", "approved: listened to 20", "difference 0.1000", "groups 10", "package ",
    ):  # fmt: skip
        assert part in lines, lines
