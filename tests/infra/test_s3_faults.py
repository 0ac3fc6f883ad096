from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from fault_proxy import FaultProxy
from pydantic import SecretStr

from infra.errors import SettingsError, StoreUnavailable, StoreUnsuitable
from infra.objects import open_store
from infra.objects.s3 import S3Address
from infra.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def proxy(s3_settings: Settings) -> Iterator[tuple[FaultProxy, Settings]]:
    port = urlsplit(S3Address.parse(s3_settings.object_store_url).endpoint).port
    assert port is not None
    fault = FaultProxy(port)
    url = s3_settings.object_store_url.replace(f":{port}", f":{fault.port}")
    yield fault, s3_settings.model_copy(update={"object_store_url": url, "store_timeout_seconds": 5.0})
    fault.close()


def test_a_read_that_breaks_off_is_taken_up(proxy: tuple[FaultProxy, Settings]) -> None:
    fault, settings = proxy
    store = open_store(settings)
    content = bytes(range(256)) * 20_000
    store.put("large", content)
    fault.cut_after, fault.cuts_left = 1_500_000, 2
    assert store.get("large") == content
    assert fault.cuts_left == 0


def test_a_short_outage_heals(proxy: tuple[FaultProxy, Settings]) -> None:
    fault, settings = proxy
    store = open_store(settings)
    fault.go_down()
    threading.Timer(1.0, fault.come_back).start()
    assert store.put("k", b"x", if_absent=True)
    assert store.get("k") == b"x"


def test_an_outage_for_good_is_a_typed_error_in_time(proxy: tuple[FaultProxy, Settings]) -> None:
    fault, settings = proxy
    store = open_store(settings)
    fault.go_down()
    started = time.monotonic()
    for use in (
        lambda: store.put("k", b"x"),
        lambda: store.get("k"),
        lambda: store.put("k", b"x", if_absent=True),
    ):
        with pytest.raises(StoreUnavailable):
            use()
    assert time.monotonic() - started < 3 * 2 * settings.store_timeout_seconds


def test_a_lost_answer_to_a_successful_create_still_counts_as_ours(
    proxy: tuple[FaultProxy, Settings],
) -> None:
    fault, settings = proxy
    store = open_store(settings)
    store.exists("warm-up")
    fault.cut_after, fault.cuts_left = 0, 1
    assert store.put("k", b"mine", if_absent=True) is True
    assert fault.cuts_left == 0
    assert store.put("k", b"mine too", if_absent=True) is False


def test_wrong_keys_are_a_settings_error(s3_settings: Settings) -> None:
    with pytest.raises(SettingsError):
        open_store(s3_settings.model_copy(update={"s3_secret_key": SecretStr("wrong")}))


@contextmanager
def _careless_server() -> Iterator[str]:
    """An S3 server that says 200 to everything, as those that ignore If-None-Match do."""

    class Careless(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _fine(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200 if self.command != "DELETE" else 204)
            self.send_header("ETag", '"x"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_HEAD = do_DELETE = _fine

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Careless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_that_ignores_conditional_creation_is_refused(settings: Settings) -> None:
    with _careless_server() as endpoint:
        careless = settings.model_copy(
            update={
                "object_store_url": f"s3://mer?endpoint={endpoint}",
                "s3_access_key": SecretStr("a"),
                "s3_secret_key": SecretStr("b"),
            }
        )
        with pytest.raises(StoreUnsuitable):
            open_store(careless)
