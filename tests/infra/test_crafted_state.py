"""Small files of state that were made on purpose, or damaged: they count for nothing, and nothing raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.artifacts import Manifest
from infra.errors import ArtifactCorrupt
from infra.services.process import ServiceProcess
from infra.tracking.spool import Spool
from tasks.data.passing_failures import failed_too_often

STATE = {"name": "mlflow", "address": "http://x", "port": 1, "pid": 2, "mark": "m", "started": 1.0}
CRAFTED = {
    "empty": b"",
    "half": b"{",
    "list": b"[1]",
    "number": b"1",
    "text": b'"x"',
    "null": b"null",
    "nan": b"NaN",
    "no utf-8": b"\xff\xfe{}",
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "one number": b"1" * 10_000,
    "other fields": b'{"type": {"x": []}, "manifest": 1, "name": 1}',
}


@pytest.mark.parametrize("content", CRAFTED.values(), ids=CRAFTED.keys())
def test_crafted_state_counts_for_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mlflow.json").write_bytes(content)
    service = ServiceProcess("mlflow", tmp_path)
    assert service.state() is None and service.members() == [] and service.stop() is False
    (tmp_path / "failures").mkdir()
    (tmp_path / "failures" / "key.json").write_bytes(content)
    assert failed_too_often(tmp_path, "key", ["clip"], 1) == frozenset()
    assert json.loads((tmp_path / "failures" / "key.json").read_text())["clip"] == 1
    with pytest.raises(ArtifactCorrupt):
        Manifest.from_bytes(content)


@pytest.mark.parametrize("field", STATE)
@pytest.mark.parametrize("value", [None, [], {"a": 1}, "x" * 9, -1.5, True, 1 << 80], ids=repr)
def test_state_of_other_types_counts_for_nothing(field: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "mlflow.json").write_text(json.dumps(STATE | {field: value}))
    service = ServiceProcess("mlflow", tmp_path)
    state = service.state()
    assert state is None or type(getattr(state, field)) is type(value)
    assert service.members() == []


def test_what_is_no_file_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "mlflow.json").mkdir()
    assert ServiceProcess("mlflow", tmp_path).state() is None


@pytest.mark.parametrize("content", CRAFTED.values(), ids=CRAFTED.keys())
def test_an_event_that_is_none_is_set_aside_and_the_others_are_sent(content: bytes, tmp_path: Path) -> None:
    spool, sent = Spool(tmp_path), []
    spool.add({"type": "run"})
    (tmp_path / "00000-crafted.json").write_bytes(content)
    spool.drain(lambda event: sent.append(event["type"].upper()))
    assert sent == ["RUN"] and spool.waiting() == 0
    assert [path.name for path in (tmp_path / "refused").glob("*.json")] == ["00000-crafted.json"]
