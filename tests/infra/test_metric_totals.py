"""What processes count adds up in the catalogue: over processes, after errors, and without any of them waiting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from observed_process import counted, observed_process

from infra.catalogue import Catalogue, open_catalogue
from infra.catalogue.metric_totals import labels_text
from infra.observing import count, flush_totals, set_latest, totals
from infra.observing.totals import Totals
from infra.settings import Settings

STAGE = ("mer_stages_total", labels_text({"stage": "fusion", "outcome": "found"}))
RUN = ("mer_last_run_timestamp_seconds", labels_text({"flow": "retrain"}))


def test_totals_add_up_and_the_last_value_counts(catalogue: Catalogue) -> None:
    catalogue.add_totals({STAGE: 2.0}, {RUN: 10.0})
    catalogue.add_totals({STAGE: 3.0}, {RUN: 9.0})
    catalogue.add_totals({}, {})
    assert [(row.name, row.labels, row.value) for row in catalogue.totals()] == [
        ("mer_last_run_timestamp_seconds", {"flow": "retrain"}, 9.0),
        ("mer_stages_total", {"stage": "fusion", "outcome": "found"}, 5.0),
    ]


def test_processes_that_begin_a_total_at_once_lose_nothing(database_url: str) -> None:
    catalogues = [open_catalogue(database_url, timeout_seconds=20) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for opened in catalogues:
            pool.submit(lambda one: [one.add_totals({STAGE: 1.0}, {RUN: 1.0}) for _ in range(10)], opened)
    assert [row.value for row in catalogues[0].totals()] == [1.0, 40.0]
    for opened in catalogues:
        opened.close()


def test_what_cannot_be_written_is_written_later(settings: Settings) -> None:
    counting = Totals(settings)
    counting.add(STAGE, 1.0)
    counting.put(RUN, 5.0)
    assert not counting.flush(), "there is no catalogue"
    assert not settings.home.exists(), "and none is made"
    counting.add(STAGE, 1.0)
    with open_catalogue(settings) as catalogue:
        assert counting.flush() and counting.flush()
        assert [row.value for row in catalogue.totals()] == [5.0, 2.0]
    counting.end()


def test_a_locked_catalogue_delays_nobody(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "PATIENCE_SECONDS", 0.05)
    with open_catalogue(settings) as catalogue, observed_process(settings):
        with catalogue.database.writing():
            count("mer_rollbacks_total", model="m")
            flush_totals()
        assert counted(settings) == {("mer_rollbacks_total", "m"): 1.0}


def test_a_thread_writes_now_and_then(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(totals, "EVERY_SECONDS", 0.02)
    with open_catalogue(settings) as catalogue, observed_process(settings):
        set_latest("mer_drift_effect", 0.4, model="m")
        deadline = time.monotonic() + 10
        while not catalogue.totals() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [row.value for row in catalogue.totals()] == [0.4]


def test_where_nobody_watches_nothing_is_counted(settings: Settings) -> None:
    count("mer_rollbacks_total", model="m")
    flush_totals()
    assert totals._totals is None and not settings.home.exists()
