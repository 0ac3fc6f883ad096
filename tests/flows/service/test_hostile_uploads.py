"""The two lists of bad inputs, sent: each has its reason or its flag, and the service goes on with nothing left of them."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile
from fastapi.testclient import TestClient
from hostile_media import Answered, Refused, write_answered, write_refused
from seeing_model import write_seeing
from served_home import serving

from flows.service.limits import ServiceLimits
from flows.service.problems import PROBLEM_JSON
from mer.encoders.weight_files import wheel_folder
from mer.media.audio import decode_audio
from tasks.stage.workspace import Workspace, workspace

pytestmark = pytest.mark.slow
BOUNDARY = b"hostile-uploads"
SECONDS = 30.0


def register_seeing(space: Workspace, folder: Path) -> None:
    """A champion that hears and sees."""
    write_seeing(folder)
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    ref = space.artifacts.commit("model", hashlib.sha256(b"seeing").hexdigest(), files, meta={})
    space.catalogue.add_model_version("seeing", ref, evaluation=ref, metrics={}, idempotency_key="seeing")
    space.catalogue.set_alias("seeing", "champion", 1, "the first")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MER_HOME", str(folder / "home"))
        space = workspace()
        register_seeing(space, folder / "package")
        (folder / "scratch").mkdir()
        patch.setattr(tempfile, "tempdir", str(folder / "scratch"))
        with serving(space, ServiceLimits(answer_seconds=SECONDS)) as (opened, _):
            yield opened


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> list[Refused]:
    # what a path is (a pipe) cannot be sent
    made = write_refused(tmp_path_factory.mktemp("refused"))
    return [item for item in made if not item.path.is_fifo()]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> list[Answered]:
    return write_answered(tmp_path_factory.mktemp("answered"))


@pytest.fixture(scope="module")
def speech(folder: Path) -> Path:
    """Three seconds of somebody who reads."""
    assets = wheel_folder("moonshine_voice", "moonshine-voice") / "assets"
    soundfile.write(folder / "speech.wav", decode_audio(assets / "two_cities.wav", max_seconds=3.0), 16_000)
    return folder / "speech.wav"


def send(client: TestClient, route: str, paths: Sequence[Path]) -> Any:
    """Post files under the bytes of their names, which no client library would let pass."""
    field = b"files" if route.endswith("batch") else b"file"
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\n\r\n%b\r\n'
        % (BOUNDARY, field, os.fsencode(path.name), path.read_bytes())
        for path in paths
    ]
    content = b"".join(parts) + b"--%b--\r\n" % BOUNDARY
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    began = time.monotonic()
    answer = client.post(route, content=content, headers=headers)
    assert time.monotonic() - began < SECONDS
    assert answer.status_code < 500, answer.text
    assert "mer-upload" not in answer.text and "Traceback" not in answer.text
    return answer


def nothing_is_left(folder: Path) -> bool:
    return not list((folder / "scratch").glob("mer-upload-*"))


def has_bad_name(item: Refused) -> bool:
    return {reason.value for reason in item.reasons} == {"unsafe_name"}


def test_each_is_refused_with_its_reason(
    client: TestClient, refused: list[Refused], speech: Path, folder: Path
) -> None:
    found: dict[str, str] = {}
    for item in refused:
        answer = send(client, "/api/predict", [item.path])
        if answer.headers["content-type"] == PROBLEM_JSON:  # a name of two lines is no header
            assert (answer.status_code, "\n" in item.path.name) == (400, True)
            assert "expected" in answer.json()["detail"] or "parsing" in answer.json()["detail"]
            continue
        row = answer.json()
        if has_bad_name(item):  # where it lies here it has a name of ours
            assert row["status"] == "ok" and row["path"].isprintable() and len(row["path"]) <= 200
        elif row["status"] not in {reason.value for reason in item.reasons} or row["probabilities"]:
            found[item.path.name] = row["status"]
    assert found == {}
    assert send(client, "/api/predict", [speech]).json()["status"] == "ok"
    assert nothing_is_left(folder)


def test_each_is_answered_with_a_flag(client: TestClient, answered: list[Answered], folder: Path) -> None:
    found: dict[str, Any] = {}
    for item in answered:
        row = send(client, "/api/predict", [item.path]).json()
        if row["status"] != "ok" or not item.flags & set(row["flags"]):
            found[item.path.name] = (row["status"], row["flags"], sorted(item.flags))
    assert found == {}
    assert nothing_is_left(folder)


def test_beside_them_a_good_clip_has_its_answer(
    client: TestClient, refused: list[Refused], answered: list[Answered], speech: Path, folder: Path
) -> None:
    alone = send(client, "/api/predict", [speech]).json()
    others = [item.path for item in (*refused, *answered) if "\n" not in item.path.name]
    for start in range(0, len(others), 15):
        rows = send(client, "/api/predict/batch", [*others[start : start + 15], speech]).json()["predictions"]
        assert (rows[-1]["status"], rows[-1]["flags"]) == ("ok", alone["flags"])
        assert rows[-1]["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-6)
        assert len(rows) == len(others[start : start + 15]) + 1
    assert nothing_is_left(folder)
    assert client.get("/health").status_code == 200


def test_where_in_time_an_answer_comes_from_is_said(client: TestClient, speech: Path, folder: Path) -> None:
    said = send(client, "/api/predict/explain", [speech]).json()
    assert said["prediction"]["status"] == "ok", said
    assert [row["modality"] for row in said["lost"]] == ["acoustic"]
    assert len(said["lost"][0]["lost"]) == 6 and any(said["lost"][0]["lost"])
    assert said["attention"] == []  # one vector a clip: nothing is weighed over time
    assert {part["modality"]: bool(part["words"]) for part in said["modalities"]}["visual"]
    assert nothing_is_left(folder)
