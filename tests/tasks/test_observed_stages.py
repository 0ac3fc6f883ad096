"""A stage says which it is and how it ended, wherever it ran, and its result does not depend on whether anybody watches."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from observed_process import counted, events_of, observed_process

from infra.observing import logged
from infra.settings import Settings
from mer.errors import MerError
from tasks.stage.run import Produced, StageResult, StageRun, run_stage
from tasks.stage.workspace import workspace


@pytest.fixture
def observed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("MER_HOME", str(settings.home))
    workspace()
    with observed_process(settings):
        yield settings


def answer(run: StageRun) -> Produced:
    logging.getLogger("mer.anything").warning("a word from inside")
    return Produced(files={"answer.txt": b"42"})


def refuse(run: StageRun) -> Produced:
    raise MerError("expected more clips, found 1")


def _run(body: object = answer) -> StageResult:
    with logged(flow_run="id1"):
        return run_stage(
            "test",
            inputs={},
            config={},
            produce=body,
            label="test of fold2",
            parent_run="retrain x",  # type: ignore[arg-type]
        )


def test_computed_found_and_failed_are_told_and_counted(observed: Settings) -> None:
    first = _run()
    assert _run().ref == first.ref
    with pytest.raises(MerError):
        _run(refuse)
    inside, *ends = events_of(observed)
    assert (inside["message"], inside["level"]) == ("a word from inside", "warning")
    assert [event["outcome"] for event in ends] == ["computed", "found", "failed"]
    for event in (inside, *ends):
        assert (event["stage"], event["label"], event["flow_run"]) == ("test", "test of fold2", "id1")
        assert event["tracked_run"] == "retrain x"
    assert "MerError" in str(ends[2]["message"]) and "found 1" in str(ends[2]["message"])
    found = counted(observed)
    assert [found["mer_stages_total", outcome, "test"] for outcome in ("computed", "found", "failed")] == [
        1,
        1,
        1,
    ]
    assert found["mer_stage_seconds_total", "test"] == pytest.approx(first.seconds, abs=0.01)


def test_nobody_watches_and_nothing_changes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_HOME", str(settings.home))
    first = _run()
    with observed_process(settings):
        assert not _run().ran, "watched or not it is the same stage"
    assert first.ran and workspace().catalogue.totals()[0].labels["outcome"] == "found"
    assert len(events_of(settings)) == 1


def test_a_log_that_cannot_be_written_ends_no_stage(observed: Settings) -> None:
    observed.logs_folder.write_text("in the way")
    with workspace().catalogue.database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE metric_totals")
    assert _run().ran
