"""The application around its parts: pages, headers, problems, limits of bodies, and who may ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient

from flows.service.access import guarded, hosts_of, token_of
from flows.service.app import build_app
from flows.service.limits import ServiceLimits
from flows.service.pages import STATIC
from flows.service.part import Page, Part
from flows.service.problems import Refused
from flows.service.state import Service
from infra.errors import CatalogueUnavailable, SettingsError
from infra.settings import Settings, load_settings
from mer.errors import ConfigError, MediaError, QuarantineReason
from tasks.stage.workspace import Workspace, workspace

RAISED = {
    "config": (ConfigError("expected a"), 422, "unusable"),
    "lookup": (LookupError("expected b"), 404, "not_found"),
    "catalogue": (CatalogueUnavailable("locked"), 503, "unavailable"),
    "late": (MediaError(QuarantineReason.TIMED_OUT, "late", transient=True), 504, "timed_out"),
    "refused": (Refused(429, "queue_full", "expected room", 3), 429, "queue_full"),
    "bug": (RuntimeError("secret detail"), 500, "bug"),
}


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def failing(service: Service) -> APIRouter:
    del service
    routes = APIRouter()

    @routes.post("/raise/{name}")
    async def fail(name: str, body: dict[str, str]) -> None:
        raise RAISED[name][0]

    return routes


@pytest.fixture
def client(space: Workspace) -> Iterator[TestClient]:
    service = Service(space, ServiceLimits(upload_bytes=1024))
    part = Part(name="failing", router=failing, page=Page("clip", "Clip"))
    with TestClient(build_app(service, [part]), raise_server_exceptions=False) as asked:
        yield asked


def test_the_shell_and_its_files_come_with_headers_that_keep_everything_else_out(client: TestClient) -> None:
    for path in ("/", "/static/app.js", "/static/style.css", "/favicon.ico"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/api/site").json()["pages"] == [{"name": "clip", "title": "Clip"}]
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/..%2fapp.py").status_code == 404


@pytest.mark.parametrize("name", RAISED)
def test_every_error_is_a_problem(name: str, client: TestClient) -> None:
    error, status, code = RAISED[name]
    answer = client.post(f"/raise/{name}", json={})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) == (status in (429, 503, 504))
    assert (str(error) in answer.json()["detail"]) == (name != "bug"), "what a bug says stays in the log"


@pytest.mark.parametrize("path", ["/nothing", "/raise/config"])
def test_what_is_not_there_and_what_is_not_allowed(path: str, client: TestClient) -> None:
    answer = client.get(path)
    assert answer.status_code == {"/nothing": 404, "/raise/config": 405}[path]
    assert answer.json()["status"] == answer.status_code
    wrong = client.post("/raise/config", json=["no object"])
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")


def test_a_body_is_counted_whatever_its_length_was_said_to_be(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b"x" * 512,) * 4

    assert client.post("/raise/config", content=b"x" * 1025).status_code == 413
    answer = client.post("/raise/config", content=chunks())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_without_the_token_nothing_but_the_health_is_said(space: Workspace) -> None:
    hosts = hosts_of("0.0.0.0", 80)
    app = guarded(build_app(Service(space)), hosts, "t" * 20)
    client = TestClient(app, base_url="http://localhost:80", headers={"host": "localhost:80"})
    assert client.get("/health").json() == {"status": "ok"}
    refused = client.get("/api/site")
    assert (refused.status_code, refused.json()["code"]) == (401, "token_required")
    assert client.get("/api/site", headers={"Authorization": "Bearer " + "t" * 20}).status_code == 200
    assert client.get("/api/site", auth=("mer", "t" * 20)).status_code == 200
    for wrong in ({"Authorization": "Bearer x"}, {"Authorization": "Bearer"}, {"Authorization": "t" * 20}):
        assert client.get("/api/site", headers=wrong).status_code == 401


def test_foreign_hosts_and_origins_are_refused(space: Workspace) -> None:
    app = guarded(build_app(Service(space)), hosts_of("127.0.0.1", 80), None)
    client = TestClient(app, headers={"host": "127.0.0.1:80"})
    assert client.get("/api/site").status_code == 200
    assert client.get("/api/site", headers={"host": "evil.example:80"}).json()["code"] == "refused"
    assert client.get("/api/site", headers={"origin": "http://evil.example"}).status_code == 403


def test_the_token_is_the_given_one_or_the_homes_own(settings: Settings) -> None:
    assert token_of(settings, "127.0.0.1") is None
    made = token_of(settings, "0.0.0.0")
    assert made is not None
    assert token_of(settings, "0.0.0.0") == made
    given = load_settings(home=settings.home, serve_token="0123456789abcdef")
    assert token_of(given, "127.0.0.1") == "0123456789abcdef"
    with pytest.raises(SettingsError) as refused:
        load_settings(home=settings.home, serve_token="short-secret")
    assert "short-secret" not in str(refused.value)


def test_the_files_of_the_pages_are_packaged() -> None:
    import tomllib

    root = Path(__file__).resolve().parents[3]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "flows"
    ]
    packaged = {file for pattern in patterns for file in (root / "flows").glob(pattern) if file.is_file()}
    assert packaged == {file for file in STATIC.rglob("*") if file.is_file()}
