"""A folder of the two lists is ingested: every file of the one is set aside with its reason, every file of the other a clip."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_media import write_answered, write_refused
from test_ingestion import ingest

from mer.media.sniff import printable
from tasks.stage.workspace import workspace


@pytest.mark.slow
def test_all_of_one_list_are_set_aside_and_all_of_the_other_are_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    folder = tmp_path / "corpus"
    folder.mkdir()
    refused, answered = write_refused(folder), write_answered(folder)
    report = ingest(folder)
    catalogue = workspace().catalogue
    clips = {Path(row.path).name for row in catalogue.clips("corpus")}
    assert clips == {item.path.name for item in answered}
    reasons = {item.name: item.reason for item in catalogue.quarantined("corpus")}
    for item in refused:
        assert reasons.pop(printable(item.path.stem)) in {reason.value for reason in item.reasons}, (
            item.path.name
        )
    assert reasons == {}
    assert (report.entries, report.accepted) == (66, 38)
