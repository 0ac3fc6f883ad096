"""Records of processes that execute flow runs, on both databases."""

from __future__ import annotations

import os

from infra.catalogue import Catalogue
from infra.catalogue.run_processes import executing_process
from infra.machine import ProcessName, has_ended

SERVER = "http://127.0.0.1:4200/api"
OTHER = ProcessName("another-boot", "pid:[1]", 7, 8)


def test_a_record_says_which_process_runs_what(catalogue: Catalogue) -> None:
    key = catalogue.add_run_process(executing_process(), SERVER)
    catalogue.set_flow_run(key, "retrain", "an-id")
    catalogue.set_tracked_run(executing_process(), "retrain a-name")
    catalogue.set_unrecorded(key)
    (row,) = catalogue.run_processes()
    assert (row.key, row.flow, row.flow_run, row.tracked_run) == (key, "retrain", "an-id", "retrain a-name")
    assert (
        row.server == SERVER
        and row.unrecorded
        and row.process.number == os.getpid()
        and not has_ended(row.process)
    )
    catalogue.set_tracked_run(executing_process(), None)
    assert catalogue.run_processes()[0].tracked_run is None
    catalogue.remove_run_process(key)
    catalogue.remove_run_process(key)
    assert not catalogue.run_processes()


def test_a_beat_counts_for_the_processes_it_names_only(catalogue: Catalogue) -> None:
    first, second = (
        catalogue.add_run_process(executing_process(), SERVER),
        catalogue.add_run_process(OTHER, SERVER, "its-id"),
    )
    catalogue.beat_run_processes([first])
    catalogue.beat_run_processes([first])
    catalogue.beat_run_processes([])
    assert {row.key: row.beat for row in catalogue.run_processes()} == {first: 2, second: 0}


def test_the_tracked_run_of_a_process_is_not_anothers(catalogue: Catalogue) -> None:
    catalogue.add_run_process(executing_process(), SERVER)
    catalogue.add_run_process(OTHER, SERVER)
    catalogue.set_tracked_run(OTHER, "retrain other")
    assert {str(row.process): row.tracked_run for row in catalogue.run_processes()} == {
        str(executing_process()): None,
        str(OTHER): "retrain other",
    }
