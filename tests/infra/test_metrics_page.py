"""The page of metrics: what the catalogue and the home hold, each part by itself, cheap however many clips there are."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from catalogue_rows import clip, generation, ref
from prometheus_client.parser import text_string_to_metric_families

from infra.catalogue import Catalogue, GenerationState, ProcessRole, open_catalogue
from infra.catalogue.metric_totals import labels_text
from infra.catalogue.utc_time import utc_now
from infra.machine import this_process
from infra.metrics import gathering, metrics_page
from infra.metrics.gathering import Gatherer
from infra.metrics.names import COUNTED, LATEST, METRICS, STATE
from infra.metrics.server import MetricsServer
from infra.services import start, stop_all
from infra.services.guard import Guard
from infra.services.servers import status_of
from infra.settings import Settings

Samples = dict[tuple[str, ...], float]


def samples(page: bytes) -> Samples:
    """(Name, values of its labels in their order) -> value; of a page that Prometheus' own reader takes."""
    found: Samples = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            labels = METRICS[sample.name].labels
            assert set(sample.labels) == set(labels), sample
            found[sample.name, *(sample.labels[label] for label in labels)] = sample.value
    return found


@pytest.fixture
def catalogue(settings: Settings) -> Iterator[Catalogue]:
    """Everything that a page can show."""
    with open_catalogue(settings) as opened:
        fill(opened)
        settings.services_folder.mkdir()
        settings.spool_folder.mkdir()
        (settings.spool_folder / "event-1.json").write_text("{}")
        yield opened


def fill(catalogue: Catalogue) -> None:
    for name in ("c", "empty"):
        catalogue.upsert_corpus(name, root="/c", format="table", emotions=["calm"])
    catalogue.upsert_clips("c", [clip(number) for number in range(5)])
    for number in range(3):
        catalogue.quarantine(
            "c", f"bad{number}", f"/c/bad{number}", "truncated" if number else "no_audio", ""
        )
    catalogue.add_generation(generation("g1", "c", state=GenerationState.REJECTED), [])
    catalogue.add_generation(generation("g2", "c", state=GenerationState.LIVE), [])
    for number in (1, 2, 3):
        catalogue.add_model_version("m", ref(str(number)), metrics={}, idempotency_key=str(number))
    for version in (1, 2):
        catalogue.set_alias("m", "champion", version, "better")
    catalogue.request_approval("m", 3, "passed", None, 24.0)
    catalogue.add_task("f", "tasks.data.features.extract_shard", "{}", "mer-gpu")
    catalogue.add_task("f", "tasks.data.features.extract_shard", "{}", "mer-gpu")
    for worker, device in (("w1", "cuda 0 (H)"), ("w2", "cpu"), ("old", "cpu")):
        catalogue.beat(worker, ProcessRole.WORKER, f"h:{worker}", 1, ["mer-gpu"], device)
    catalogue.beat("f", ProcessRole.FLOW, "h:f", 1)
    with catalogue.database.writing() as connection:
        connection.exec_driver_sql("UPDATE task_processes SET seen_at = '2020-01-01' WHERE id = 'old'")
    assert catalogue.take_task("w1", ["f"], ["mer-gpu"]) is not None
    process = this_process()
    assert process is not None
    catalogue.set_flow_run(catalogue.add_run_process(process, "http://h/api"), "retrain", "id")
    labelled = {
        name: labels_text(dict.fromkeys(metric.labels, "x")) for name, metric in {**COUNTED, **LATEST}.items()
    }
    catalogue.add_totals(
        {(name, labelled[name]): 2.5 for name in COUNTED}, {(name, labelled[name]): 7.5 for name in LATEST}
    )
    catalogue.add_totals({("mer_of_a_later_version", "{}"): 1.0}, {})


def page_of(settings: Settings) -> Samples:
    gatherer = Gatherer(settings)
    found = samples(metrics_page(gatherer))
    gatherer.close()
    return found


def test_every_metric_is_on_the_page(catalogue: Catalogue, settings: Settings) -> None:
    del catalogue
    found = page_of(settings)
    without = {name for name in METRICS if name not in {key[0] for key in found}}
    assert without == {"mer_service_up"}, "no service was started"
    assert all(value == 2.5 for key, value in found.items() if key[0] in COUNTED)
    assert all(value == 7.5 for key, value in found.items() if key[0] in LATEST)
    assert not set(COUNTED) & set(STATE)


def test_what_it_says_of_catalogue_and_home(catalogue: Catalogue, settings: Settings) -> None:
    del catalogue
    found = page_of(settings)
    assert found["mer_clips", "c"] == 5 and found["mer_clips", "empty"] == 0
    assert found["mer_clips_quarantined", "c", "truncated"] == 2
    assert found["mer_clips_quarantined", "c", "no_audio"] == 1
    assert found["mer_tasks_waiting", "mer-gpu", "extract shard"] == 1
    assert found["mer_tasks_leased", "mer-gpu", "extract shard"] == 1
    workers = {key[1:]: value for key, value in found.items() if key[0] == "mer_workers"}
    assert workers == {("mer-gpu", "cuda 0 (H)"): 1, ("mer-gpu", "cpu"): 1}, "who is silent is not counted"
    assert found["mer_runs_at_work", "retrain"] == 1
    champions = {
        key[1:]: value for key, value in found.items() if key[0] == "mer_champion_since_timestamp_seconds"
    }
    assert set(champions) == {("m", "2")} and abs(champions["m", "2"] - time.time()) < 60
    assert found["mer_approvals_waiting", "m"] == 1
    last = {key[1:] for key in found if key[0] == "mer_last_generation_timestamp_seconds"}
    assert last == {("c", "live")}
    assert found["mer_disk_free_bytes",] > 0
    assert found["mer_tracking_events_waiting",] == 1
    assert found["mer_scrape_failed", "catalogue"] == found["mer_scrape_failed", "home"] == 0


def test_a_home_without_anything_has_a_page_and_nothing_is_made(settings: Settings) -> None:
    found = page_of(settings)
    assert found["mer_scrape_failed", "catalogue"] == 0 and found["mer_scrape_failed", "home"] == 1
    assert not settings.home.exists()


def test_a_catalogue_that_cannot_be_read_leaves_the_rest(catalogue: Catalogue, settings: Settings) -> None:
    gatherer = Gatherer(settings)
    metrics_page(gatherer)
    with catalogue.database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE queued_tasks")
    found = samples(metrics_page(gatherer))
    gatherer.close()
    assert found["mer_scrape_failed", "catalogue"] == 1 and found["mer_scrape_failed", "home"] == 0
    assert found["mer_disk_free_bytes",] > 0


def test_rows_of_clips_are_counted_now_and_then(
    catalogue: Catalogue, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    asked = []
    real = Catalogue.clip_counts
    monkeypatch.setattr(Catalogue, "clip_counts", lambda self: asked.append(1) or real(self))
    gatherer = Gatherer(settings, clock=lambda: now[0])
    for _ in range(3):
        gatherer.samples()
    catalogue.upsert_clips("c", [clip(100)])
    assert samples(metrics_page(gatherer))["mer_clips", "c"] == 5 and len(asked) == 1
    now[0] += gathering.KEPT_SECONDS
    assert samples(metrics_page(gatherer))["mer_clips", "c"] == 6
    gatherer.close()


def test_a_writer_delays_no_scrape(catalogue: Catalogue, settings: Settings) -> None:
    gatherer = Gatherer(settings)
    gatherer.samples()
    with catalogue.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM queued_tasks")
        began = time.monotonic()
        found = samples(metrics_page(gatherer))
        assert time.monotonic() - began < 1.5
    assert found["mer_scrape_failed", "catalogue"] == 0
    gatherer.close()


def test_when_a_worker_was_heard_of_is_read_without_a_clock_of_another_machine(settings: Settings) -> None:
    with open_catalogue(settings) as catalogue:
        catalogue.beat("w", ProcessRole.WORKER, "h:w", 1, ["mer-cpu"], "cpu")
        (row,) = catalogue.task_processes()
        assert abs(row.seen_at - utc_now()) < timedelta(seconds=10)
    assert page_of(settings)["mer_workers", "mer-cpu", "cpu"] == 1


class Page:
    """Asks the server as uvicorn would."""

    def __init__(self, settings: Settings) -> None:
        self.server = Guard(
            MetricsServer(Gatherer(settings)),
            ["localhost:1"],
            credentials=("mer", "secret"),
            public=("/health",),
        )

    def get(self, path: str, password: str | None = "secret", **changed: Any) -> tuple[int, bytes]:
        headers = [(b"host", b"localhost:1")]
        if password is not None:
            headers.append((b"authorization", b"Basic " + base64.b64encode(f"mer:{password}".encode())))
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers, **changed}
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.server(scope, None, send))
        return sent[0]["status"], sent[1]["body"]


def test_the_server_shows_the_page_to_whoever_knows_the_password(settings: Settings) -> None:
    page = Page(settings)
    status, body = page.get("/metrics")
    assert status == 200 and b"mer_info{" in body
    assert page.get("/metrics", password=None)[0] == 401
    assert page.get("/metrics", password="other")[0] == 401
    assert page.get("/metrics", headers=[(b"host", b"evil.example")])[0] == 403
    assert page.get("/health", password=None) == (200, b"ok\n")
    assert page.get("/other")[0] == 404 and page.get("/metrics", method="POST")[0] == 405


def test_asked_all_the_time_it_reads_once_a_second(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr("infra.metrics.server.metrics_page", lambda _: read.append(1) or b"x 1\n")
    page = Page(settings)
    for _ in range(20):
        assert page.get("/metrics") == (200, b"x 1\n")
    assert len(read) <= 2


@pytest.mark.slow
def test_it_is_a_service_of_the_home(server_home: Settings) -> None:
    from pydantic import SecretStr

    from infra.services.home_secrets import made_up_secret

    address = start("metrics", server_home)
    secret = SecretStr(f"mer:{made_up_secret(server_home, 'metrics')}")
    assert status_of(f"{address}/metrics", secret) == 200
    assert status_of(f"{address}/metrics") == 401
    assert start("metrics", server_home) == address
    assert stop_all(server_home) == ["metrics"]
