"""Label Studio's JSON out and in."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mer.errors import CorpusError
from mer.review.label_studio import CANNOT_TELL, ExportedClip, labelling_config, read_export, tasks_of

CLIPS = [
    ExportedClip(name="a", path="wav/a.wav", video=False, emotion="happy", confidence=0.4),
    ExportedClip(name="b & c", path="wav/b & c.wav", video=False, emotion=None, confidence=None),
]


def test_tasks_have_the_clip_and_what_is_thought_of_it() -> None:
    first, second = json.loads(tasks_of(CLIPS, "demo version 2"))
    assert first["data"] == {"name": "a", "clip": "/data/local-files/?d=wav/a.wav", "order": 1}
    assert first["predictions"][0]["result"][0]["value"] == {"choices": ["happy"]}
    assert first["predictions"][0]["model_version"] == "demo version 2"
    assert "predictions" not in second


def test_labelling_config_is_xml_with_keys() -> None:
    root = ElementTree.fromstring(labelling_config(("happy", "sad<"), video=True))
    assert [(choice.get("value"), choice.get("hotkey")) for choice in root.iter("Choice")] == [
        ("happy", "1"), ("sad<", "2"), (CANNOT_TELL, "3"),
    ]  # fmt: skip
    assert root.find("Video") is not None


def annotation(number: int, *emotions: str, **more: object) -> dict[str, object]:
    choice = {
        "from_name": "emotion",
        "to_name": "clip",
        "type": "choices",
        "value": {"choices": list(emotions)},
    }
    return {
        "id": number,
        "completed_by": {"id": 3, "email": "ann@x.org"},
        "result": [choice],
        "lead_time": 2.5,
        **more,
    }


def test_export_is_read(tmp_path: Path) -> None:
    tasks = [
        {
            "id": 1,
            "data": {"name": "a"},
            "annotations": [annotation(1, "sad"), annotation(2, "sad", was_cancelled=True)],
        },
        {"id": 2, "data": {"name": "b"}, "annotations": [annotation(3, "sad", "happy", completed_by=7)]},
        {"id": 3, "data": {"name": "c"}, "annotations": [annotation(4, CANNOT_TELL)]},
        {"id": 4, "data": {"name": "d"}, "annotations": []},
    ]
    file = tmp_path / "export.json"
    file.write_text(json.dumps(tasks))
    found = read_export(file)
    assert [(one.name, one.annotator, one.emotions) for one in found] == [
        ("a", "ann@x.org", ("sad",)), ("b", "label-studio 7", ("happy", "sad")), ("c", "ann@x.org", ()),
    ]  # fmt: skip
    assert found[0].seconds == 2.5 and len({one.key for one in found}) == 3
    assert read_export(file) == found


def test_json_min_is_read(tmp_path: Path) -> None:
    file = tmp_path / "min.json"
    rows = [
        {"id": 1, "name": "a", "emotion": "sad", "annotator": 1, "annotation_id": 8},
        {"id": 2, "name": "b", "emotion": {"choices": ["sad", "happy"]}, "annotator": 1, "annotation_id": 9},
        {"id": 3, "name": "c"},
    ]
    file.write_text(json.dumps(rows))
    assert [(one.name, one.annotator, one.emotions) for one in read_export(file)] == [
        ("a", "label-studio 1", ("sad",)), ("b", "label-studio 1", ("happy", "sad")),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '[{"annotations": [1]}]', '[{"data": {}, "annotations": []}]', "[" * 100000]
)
def test_anything_else_is_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(CorpusError, match=r"x\.json.*expected"):
        read_export(file)
