"""Answers over HTTP: clips, batches, features; what is refused, and what a bad clip costs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from served_home import CORPUS, add_corpus, serving, write_sound
from small_model import register_small

from flows.service.limits import ServiceLimits
from flows.service.state import Service
from mer.predictions import Prediction
from tasks.serve.library import answering_version
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("served")
        patch.setenv("MER_HOME", str(folder / "home"))
        opened = workspace()
        register_small(opened, folder / "package", measured=True)
        add_corpus(opened, folder / "corpus")
        yield opened


@pytest.fixture(scope="module")
def served(space: Workspace) -> Iterator[tuple[TestClient, Service]]:
    limits = ServiceLimits(request_clips=3, queue_clips=6, clip_seconds=2.0)
    with serving(space, limits) as pair:
        yield pair


@pytest.fixture
def client(served: tuple[TestClient, Service]) -> TestClient:
    return served[0]


def test_one_clip_is_answered_under_the_name_that_its_sender_knows(
    client: TestClient, space: Workspace
) -> None:
    root = space.catalogue.corpus_root(CORPUS)
    answers = {}
    for name in ("a", "b"):
        sound = (root / f"{name}.wav").read_bytes()
        sent = {"file": (f"C:\\my\\{name}.wav", sound)}
        answer = client.post("/api/predict", files=sent, data={"transcript": "hello"})
        assert answer.status_code == 200, answer.text
        answers[name] = Prediction.model_validate(answer.json())
    first = answers["a"]
    assert (first.name, first.path, first.model, first.version) == ("a", "a.wav", "small", 1)
    assert first.modalities == ("acoustic",)
    assert first.probabilities != answers["b"].probabilities


def test_what_a_request_asks_of_answers(client: TestClient, space: Workspace) -> None:
    root = space.catalogue.corpus_root(CORPUS)
    sent = {"file": ("a.wav", (root / "a.wav").read_bytes())}

    def asked(route: str = "", **query: object) -> Prediction:
        answer = client.post(f"/api/predict{route}", files=sent, params=query)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return Prediction.model_validate(found["prediction"] if route else found)

    plain = asked()
    assert plain.answered and plain.prediction_set == ()
    for route in ("", "/explain"):
        assert plain.discrete in asked(route, coverage=0.9).prediction_set
    assert plain.confidence is not None and plain.confidence < 0.9
    left_open = asked(abstain_above_risk=0.15)  # allowed from .9 on
    assert (left_open.status, left_open.discrete) == ("abstained", None)
    assert left_open.probabilities == plain.probabilities
    assert asked(no_answer_on=["cut"]) == plain
    together = [("files", sent["file"]), ("files", ("b.wav", (root / "b.wav").read_bytes()))]
    batch = client.post("/api/predict/batch", files=together, params={"coverage": 0.9}).json()["predictions"]
    assert all(row["prediction_set"] for row in batch)
    given = {"clips": [{"name": "x", "features": {"acoustic": [0.1, 0.2, 0.3]}}]}
    (answer,) = client.post("/api/predict/features", json=given, params={"coverage": 0.9}).json()[
        "predictions"
    ]
    assert answer["prediction_set"]
    for query, said in (
        ({"coverage": 1.2}, "coverage"),
        ({"abstain_above_risk": 0.01}, "risk: expected at least"),
    ):
        refused = client.post("/api/predict", files=sent, params=query)
        assert refused.status_code == 422 and said in refused.json()["detail"], refused.text


def test_a_bad_clip_costs_only_its_own_answer(client: TestClient, tmp_path: Path) -> None:
    good = write_sound(tmp_path / "good.wav").read_bytes()
    long = write_sound(tmp_path / "long.wav", 3.0).read_bytes()
    files = [("files", ("a.wav", good)), ("files", ("b.mp4", b"junk" * 99)), ("files", ("c.wav", long))]
    rows = client.post("/api/predict/batch", files=files).json()["predictions"]
    assert [(row["name"], row["status"]) for row in rows] == [
        ("a", "ok"),
        ("b", "not_media"),
        ("c", "too_long"),
    ]
    assert rows[1]["probabilities"] == {}


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("empty.mp4", b"", "empty_file"),
        ("../../etc/passwd", b"root:x:0:0" * 30, "not_media"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n", None),
        ("a\nb\x00.wav", b"RIFF", None),
        ("x" * 300 + ".wav", b"RIFFxxxxWAVE", None),
    ],
)
def test_hostile_uploads_have_a_reason(
    name: str, content: bytes, status: str | None, client: TestClient
) -> None:
    answer = client.post("/api/predict", files={"file": (name, content)})
    assert answer.status_code == 200
    row = answer.json()
    assert row["status"] != "ok"
    assert status in (None, row["status"])
    assert "/" not in row["path"]
    assert "mer-upload" not in answer.text


def test_more_clips_than_a_request_may_have(client: TestClient) -> None:
    files = [("files", (f"{row}.wav", b"x")) for row in range(4)]
    refused = client.post("/api/predict/batch", files=files)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_many_clips")
    given = {"clips": [{"name": "a", "features": {"acoustic": [1.0]}}] * 4}
    assert client.post("/api/predict/features", json=given).status_code == 413


def test_a_full_queue_says_when_to_ask_again(served: tuple[TestClient, Service], tmp_path: Path) -> None:
    client, service = served
    held, entered = threading.Event(), threading.Event()

    def hold(model: object) -> None:
        entered.set()
        held.wait(20)

    waits = service.queue.submit_work(hold, 30, clips=6)
    assert entered.wait(20)
    sound = write_sound(tmp_path / "a.wav").read_bytes()
    try:
        refused = client.post("/api/predict", files={"file": ("a.wav", sound)})
        explained = client.post("/api/predict/explain", files={"file": ("a.wav", sound)})
    finally:
        held.set()
    waits.result(20)
    for answer in (refused, explained):
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
    assert client.post("/api/predict", files={"file": ("a.wav", sound)}).status_code == 200


def test_what_waits_too_long_is_not_computed(space: Workspace, tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "a.wav").read_bytes()
    with serving(space, ServiceLimits(answer_seconds=0.5)) as (client, service):
        held = threading.Event()
        service.queue.submit_work(lambda model: held.wait(20), 30)
        late = client.post("/api/predict", files={"file": ("a.wav", sound)})
        held.set()
        assert (late.status_code, late.json()["code"]) == (504, "timed_out")
        assert service.queue.submit_work(lambda model: model.name, 30).result(20) == "small"


def test_features_are_answered_like_those_of_a_file(client: TestClient) -> None:
    clips = [
        {"name": name, "features": {"acoustic": [value] * 3}} for name, value in (("x", 2.0), ("y", -2.0))
    ]
    answer = client.post("/api/predict/features", json={"clips": clips})
    assert answer.status_code == 200, answer.text
    rows = [Prediction.model_validate(row) for row in answer.json()["predictions"]]
    stored = client.post("/api/clips/explain", params={"corpus": CORPUS, "clip": "a"}).json()["prediction"]
    assert [row.name for row in rows] == ["x", "y"]
    assert rows[0].probabilities == pytest.approx(stored["probabilities"])


@pytest.mark.parametrize(
    "features",
    [
        {"acoustic": [0.5]},
        {"visual": [0.5] * 3},
        {"acoustic": [[0.5, 0.5], [0.5]]},
        {"acoustic": [1e39, 0, 0]},
        {},
    ],
    ids=["width", "stream", "ragged", "beyond 32 bits", "nothing"],
)
def test_features_that_the_model_does_not_read(features: object, client: TestClient) -> None:
    refused = client.post("/api/predict/features", json={"clips": [{"name": "a", "features": features}]})
    assert refused.status_code == 422, refused.text


def test_each_modality_is_said(client: TestClient, space: Workspace) -> None:
    sound = (space.catalogue.corpus_root(CORPUS) / "a.wav").read_bytes()
    answer = client.post("/api/predict/explain", files={"file": ("a.wav", sound)})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    (acoustic,) = said["modalities"]
    assert (acoustic["modality"], acoustic["present"]) == ("acoustic", True)
    assert acoustic["alone"] == pytest.approx(said["prediction"]["probabilities"])
    assert len(said["media"]["peaks"]) == 240
    assert said["media"]["pictures"] == []
    unreadable = client.post("/api/predict/explain", files={"file": ("a.wav", b"x" * 100)}).json()
    assert unreadable["media"] is None
    assert unreadable["words"]


def test_what_the_sound_says_over_time(client: TestClient, space: Workspace, tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "long.wav", 1.9).read_bytes()
    assert client.post("/api/predict/explain", files={"file": ("a.wav", sound)}).json()["stretches"] == []
    limits = ServiceLimits(clip_seconds=10.0)
    with serving(space, limits) as (other, _):
        sound = write_sound(tmp_path / "long.wav", 3.2).read_bytes()
        stretches = other.post("/api/predict/explain", files={"file": ("a.wav", sound)}).json()["stretches"]
    assert [round(stretch["end"], 2) for stretch in stretches] == [1.07, 2.13, 3.2]
    assert stretches[0]["begin"] == 0


def test_a_stored_clip_by_its_name(client: TestClient) -> None:
    listed = client.get("/api/clips", params={"corpus": CORPUS}).json()
    assert [clip["name"] for clip in listed["clips"]] == ["a", "b", "linked"]
    one = client.get("/api/clips", params={"corpus": CORPUS, "limit": 1}).json()
    assert one["more"]
    rest = client.get("/api/clips", params={"corpus": CORPUS, "after": "a"}).json()
    assert [clip["name"] for clip in rest["clips"]] == ["b", "linked"]
    assert client.get("/api/clips", params={"corpus": CORPUS, "contains": "%"}).json()["clips"] == []
    explained = client.post("/api/clips/explain", params={"corpus": CORPUS, "clip": "a"}).json()
    assert explained["prediction"]["name"] == "a"
    assert explained["transcript"] == "so glad"


def test_media_are_given_by_ranges_and_from_their_corpus_alone(client: TestClient) -> None:
    whole = client.get("/api/media", params={"corpus": CORPUS, "clip": "a"})
    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    part = client.get("/api/media", params={"corpus": CORPUS, "clip": "a"}, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, whole.content[4:8])
    beyond = client.get(
        "/api/media", params={"corpus": CORPUS, "clip": "a"}, headers={"Range": "bytes=99999999-"}
    )
    assert beyond.status_code == 416
    assert client.get("/api/media", params={"corpus": CORPUS, "clip": "linked"}).json()["code"] == "no_file"
    for clip in ("../outside", "../corpus/a.wav", "/etc/passwd", "a.wav", "%2e%2e/outside"):
        assert client.get("/api/media", params={"corpus": CORPUS, "clip": clip}).status_code == 404
    assert client.get("/api/media", params={"corpus": CORPUS, "clip": "a\x00"}).status_code == 422
    assert client.get("/api/media", params={"corpus": "..", "clip": "a"}).status_code == 404


def test_labels_of_test_clips_are_not_shown(client: TestClient, space: Workspace) -> None:
    listed = client.get("/api/clips", params={"corpus": CORPUS}).json()["clips"]
    assert {clip["name"]: clip["emotion"] for clip in listed}["linked"] is None


def test_models_and_their_audit(client: TestClient) -> None:
    models = client.get("/api/models").json()["models"]
    assert [(model["name"], model["champion"], model["served"]) for model in models] == [("small", 1, True)]
    history = client.get("/api/models/small").json()
    assert history["decisions"][0]["reason"] == "the first"
    assert history["versions"][0]["aliases"] == ["champion"]
    assert client.get("/api/models/nothing").status_code == 404


def test_runs_are_there_without_any_server(client: TestClient) -> None:
    runs = client.get("/api/runs").json()
    assert runs["runs"] == []
    assert "mer up" in runs["remark"]


def test_what_answers_and_what_was_counted(client: TestClient, space: Workspace) -> None:
    ready = client.get("/ready").json()
    assert (ready["model"], ready["version"], ready["streams"]) == ("small", 1, ["acoustic"])
    assert answering_version(space, "small").row.version == 1
    page = client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert 'mer_serve_requests_total{method="GET",route="/ready",status="200"} 1.0' in page.text
    assert 'mer_serve_model_version{model="small"} 1.0' in page.text


def test_without_a_model_the_process_is_alive_and_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    with serving(workspace()) as (client, _service):
        assert client.get("/health").status_code == 200
        assert client.get("/ready").json()["code"] == "no_model"
        refused = client.post("/api/predict", files={"file": ("a.wav", b"x")})
        assert (refused.status_code, refused.json()["code"]) == (503, "no_model")
        assert "mer run" in refused.json()["detail"]


def test_openapi_describes_every_refusal(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(described)
    for path, operations in described["paths"].items():
        for operation in operations.values():
            content = operation["responses"].get("422", {}).get("content", {"application/problem+json": None})
            assert list(content) == ["application/problem+json"], path
