"""A real server and the client: what it is asked, a champion that changes meanwhile, a token."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from served_home import CORPUS, add_corpus
from small_model import register_small, write_small

import mer
from flows.service.access import guarded, hosts_of
from flows.service.app import build_app
from flows.service.limits import ServiceLimits
from flows.service.serving import ServeOptions, serve
from flows.service.state import Service, open_service
from infra.errors import ServiceFailed
from infra.services.servers import free_port
from mer.errors import ConfigError
from mer.library.client import ServiceAway, ServiceRefused
from tasks.serve import champion as watching
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("serving")
        patch.setenv("MER_HOME", str(folder / "home"))
        opened = workspace()
        register_small(opened, folder / "package")
        add_corpus(opened, folder / "corpus")
        second = write_small(folder / "second")
        files = {str(file.relative_to(second)): file for file in second.rglob("*") if file.is_file()}
        ref = opened.artifacts.commit("model", hashlib.sha256(b"second").hexdigest(), files, meta={"n": 2})
        opened.catalogue.add_model_version("small", ref, metrics={}, idempotency_key="second")
        yield opened


@contextmanager
def server(space: Workspace, token: str | None = None) -> Iterator[tuple[str, Service]]:
    service = open_service(space, ServiceLimits(queue_clips=8))
    assert service.answering is not None
    service.answering.champion.look()
    port = free_port()
    app = guarded(build_app(service), hosts_of("127.0.0.1", port), token)
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}", service
    finally:
        running.should_exit = True
        thread.join(20)
        service.answering.stop()


def test_the_client_gives_predictions(space: Workspace, tmp_path: Path) -> None:
    root = space.catalogue.corpus_root(CORPUS)
    (tmp_path / "bad.mp4").write_bytes(b"x" * 50)
    with server(space) as (address, _), mer.Client(address) as client:
        assert client.served().streams == ("acoustic",)
        first = client.predict(root / "a.wav")
        assert (first.name, first.status) == ("a", "ok")
        rows = list(client.predict_many([root / "a.wav", tmp_path / "bad.mp4", root / "b.wav"], batch=2))
        assert [row.status for row in rows] == ["ok", "not_media", "ok"]
        given = client.predict_features({"acoustic": np.array([[2.0] * 3, [-2.0] * 3])}, names=["x", "y"])
        for answer, row in zip(given, (rows[0], rows[2]), strict=True):
            assert answer.probabilities == pytest.approx(row.probabilities)
        with pytest.raises(ConfigError, match="found none that can be read"):
            client.predict(tmp_path / "nothing.mp4")
        with pytest.raises(ServiceRefused, match="expected streams") as refused:
            client.predict_features({"visual": [[1.0]]})
        assert (refused.value.status, refused.value.transient) == (422, False)


def test_the_client_says_what_is_away_and_what_is_locked(space: Workspace) -> None:
    with (
        pytest.raises(ServiceAway, match="mer serve"),
        mer.Client(f"http://127.0.0.1:{free_port()}") as client,
    ):
        client.served()
    with server(space, token="t" * 20) as (address, _):
        with pytest.raises(ServiceRefused) as refused, mer.Client(address) as client:
            client.served()
        assert (refused.value.status, refused.value.code) == (401, "token_required")
        with mer.Client(address, "t" * 20) as client:
            assert client.served().model == "small"


def test_a_busy_service_is_asked_again(space: Workspace) -> None:
    clip = space.catalogue.corpus_root(CORPUS) / "a.wav"
    with server(space) as (address, service):
        held = threading.Event()
        service.queue.submit_work(lambda model: held.wait(20), 30, clips=8)
        with pytest.raises(ServiceRefused) as refused, mer.Client(address, patience_seconds=0) as client:
            client.predict(clip)
        assert (refused.value.status, refused.value.transient) == (429, True)
        threading.Timer(0.5, held.set).start()
        with mer.Client(address) as client:
            assert client.predict(clip).status == "ok"


def test_the_champion_changes_under_load_and_no_request_fails(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 0.1)
    clip = space.catalogue.corpus_root(CORPUS) / "a.wav"
    versions: list[int | None] = []
    errors: list[Exception] = []
    done = threading.Event()

    def ask(address: str) -> None:
        with mer.Client(address) as client:
            while not done.is_set():
                try:
                    versions.append(client.predict(clip).version)
                except Exception as error:
                    errors.append(error)

    def seen(version: int) -> bool:
        until = time.monotonic() + 60
        while version not in versions[-3:] and time.monotonic() < until:
            time.sleep(0.05)
        return version in versions

    with server(space) as (address, service):
        assert service.answering is not None
        service.answering.champion.start()
        clients = [threading.Thread(target=ask, args=(address,)) for _ in range(3)]
        for client in clients:
            client.start()
        assert seen(1)
        space.catalogue.set_alias("small", "champion", 2, "under load")
        assert seen(2)
        space.catalogue.rollback("small", "back")
        versions.clear()
        assert seen(1)
        done.set()
        for client in clients:
            client.join()
    assert errors == []


def test_a_champion_that_is_damaged_does_not_take_the_place_of_the_one_before(space: Workspace) -> None:
    with server(space) as (_, service):
        broken = space.artifacts.commit(
            "model", hashlib.sha256(b"broken").hexdigest(), {"package.json": b"{"}
        )
        number = space.catalogue.add_model_version("small", broken, metrics={}, idempotency_key="broken")
        space.catalogue.set_alias("small", "champion", number, "by mistake")
        assert service.answering is not None
        assert not service.answering.champion.look()
        assert service.model.version == 1
        assert "package.json" in service.readiness.remark
        space.catalogue.rollback("small", "back")
        service.answering.champion.look()
        assert service.readiness.remark == ""


def test_a_port_that_is_taken_is_said(space: Workspace) -> None:
    with server(space) as (address, _), pytest.raises(ServiceFailed, match="--port 0"):
        serve(ServeOptions(port=int(address.rpartition(":")[2])), space.settings)
