"""The object store (a real S3 server) is down for half a second, for ten, for good, is slow, or breaks off in mid-body."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fault_proxy import FaultProxy
from fault_report import Faults
from invariants import check_invariants, served_weights, within
from plain_flow import SmallHome, plainly

from infra.artifacts import ArtifactStore
from infra.errors import StoreUnavailable
from infra.objects.s3 import S3Address
from infra.services import s3_credentials
from infra.settings import Settings

pytestmark = pytest.mark.fault

STAGES = ("features", "fusion", "evaluation", "model")
"""Kinds of artifacts at whose commit the store fails."""
PATIENCE_SECONDS = 14.0
"""What a run waits for a store that is away."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """sha256 of what a run serves that nothing disturbs."""
    home = SmallHome(tmp_path_factory.mktemp("undisturbed"))
    with plainly():
        home.run()
    return served_weights(home.settings)


@pytest.fixture
def broken_network(
    s3_settings: Settings, server_settings: Settings, tmp_path: Path
) -> Iterator[tuple[FaultProxy, SmallHome]]:
    """A home whose store lies behind the proxy."""
    port = urlsplit(S3Address.parse(s3_settings.object_store_url).endpoint).port
    assert port is not None
    proxy = FaultProxy(port)
    access, secret = s3_credentials(server_settings)
    home = SmallHome(
        tmp_path,
        {
            "MER_OBJECT_STORE_URL": s3_settings.object_store_url.replace(f":{port}", f":{proxy.port}"),
            "MER_S3_ACCESS_KEY": access.get_secret_value(),
            "MER_S3_SECRET_KEY": secret.get_secret_value(),
            "MER_STORE_TIMEOUT_SECONDS": str(PATIENCE_SECONDS),
        },
    )
    yield proxy, home
    proxy.close()


def _strike(proxy: FaultProxy, fault: str) -> None:
    if fault == "slow":
        proxy.delay_seconds = 0.03
    elif fault == "reset in mid-body":
        proxy.cut_after, proxy.cuts_left = 60, 3
    else:
        proxy.go_down()
        if fault != "down for good":
            threading.Timer(float(fault.split()[1]), proxy.come_back).start()


@pytest.mark.parametrize("fault", ["down 0.5 s", "down 10 s", "down for good", "slow", "reset in mid-body"])
@pytest.mark.parametrize("stage", STAGES)
def test_the_object_store_fails(
    stage: str,
    fault: str,
    undisturbed: str,
    broken_network: tuple[FaultProxy, SmallHome],
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults.row, faults.injected = "object store down, slow, reset", 1
    proxy, home = broken_network
    commit, struck = ArtifactStore.commit, threading.Event()

    def broken(store: ArtifactStore, kind: str, *arguments: object, **options: object) -> object:
        if kind == stage and not struck.is_set():
            struck.set()
            _strike(proxy, fault)
        return commit(store, kind, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ArtifactStore, "commit", broken)
    with plainly(), within(60):
        if fault == "down for good":
            with pytest.raises(StoreUnavailable):
                home.run()
            proxy.come_back()
            check_invariants(home.settings, recovered=False)
        home.run()
    assert struck.is_set(), f"no {stage} was committed"
    check_invariants(home.settings, recovered=True)
    assert served_weights(home.settings) == undisturbed
