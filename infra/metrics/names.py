"""Every metric there is: its name, what it says, its labels. Boards, alerts and docs may use these and no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Metric:
    """A metric as its page describes it."""

    description: str
    labels: tuple[str, ...] = ()


COUNTED: Mapping[str, Metric] = MappingProxyType(
    {
        "mer_stages_total": Metric(
            "Stages by how they ended: computed, found (cached) or failed.", ("stage", "outcome")
        ),
        "mer_stage_seconds_total": Metric(
            "Seconds that stages computed, without waiting for their turn.", ("stage",)
        ),
        "mer_clips_extracted_total": Metric("Clips whose features were extracted.", ("stream",)),
        "mer_device_seconds_total": Metric(
            "Seconds of computation, by pool and kind of device.", ("pool", "device")
        ),
        "mer_tasks_total": Metric("Tasks that task workers ended.", ("pool", "task", "outcome")),
        "mer_flow_runs_total": Metric(
            "Flow runs that ended: completed or failed (killed ones are Prefect's).", ("flow", "outcome")
        ),
        "mer_flow_run_seconds_total": Metric("Seconds that flow runs took.", ("flow",)),
        "mer_restarts_total": Metric("Services that died and were started again.", ("service",)),
        "mer_gate_decisions_total": Metric("Decisions of the promotion gate.", ("model", "decision")),
        "mer_rollbacks_total": Metric("Rollbacks of a champion.", ("model",)),
    }
)
"""Processes add to them; the catalogue keeps the sums."""

LATEST: Mapping[str, Metric] = MappingProxyType(
    {
        "mer_last_run_timestamp_seconds": Metric("When a run of a flow ended last.", ("flow", "outcome")),
        "mer_drift_exceeded": Metric(
            "1 where the last look at new clips found drift beyond the thresholds.", ("model",)
        ),
        "mer_drift_effect": Metric("Largest effect that the last look at new clips found.", ("model",)),
        "mer_last_drift_timestamp_seconds": Metric(
            "When new clips were looked at for drift last.", ("model",)
        ),
    }
)
"""Processes set them; the catalogue keeps the last value."""

STATE: Mapping[str, Metric] = MappingProxyType(
    {
        "mer_clips": Metric("Clips of a corpus.", ("corpus",)),
        "mer_clips_quarantined": Metric("Files set aside, by reason.", ("corpus", "reason")),
        "mer_tasks_waiting": Metric("Tasks that wait for a worker.", ("pool", "task")),
        "mer_tasks_leased": Metric("Tasks that a worker has taken.", ("pool", "task")),
        "mer_workers": Metric("Task workers that are alive.", ("pool", "device")),
        "mer_runs_at_work": Metric("Processes that execute a flow run.", ("flow",)),
        "mer_champion_since_timestamp_seconds": Metric(
            "When the version that is served became champion.", ("model", "version")
        ),
        "mer_approvals_waiting": Metric("Versions that wait for a person's approval.", ("model",)),
        "mer_last_generation_timestamp_seconds": Metric(
            "When a refresh made pseudo-labels last, and its verdict.", ("corpus", "verdict")
        ),
        "mer_service_up": Metric("1 where a service of the home runs, 0 where it died.", ("service",)),
        "mer_disk_free_bytes": Metric("Free space on the disk of the home."),
        "mer_tracking_events_waiting": Metric("Events that MLflow has not got yet."),
        "mer_info": Metric("1; says the version.", ("version",)),
        "mer_scrape_seconds": Metric("Seconds that it took to read this page."),
        "mer_scrape_failed": Metric("1 where a part of this page could not be read.", ("part",)),
    }
)
"""Read from catalogue and home at the moment."""

METRICS: Mapping[str, Metric] = MappingProxyType({**COUNTED, **LATEST, **STATE})

SERVICE: Mapping[str, Metric] = MappingProxyType(
    {
        "mer_serve_requests_total": Metric("Requests that were answered.", ("route", "method", "status")),
        "mer_serve_request_seconds": Metric("Seconds from a request's first byte to its answer.", ("route",)),
        "mer_serve_clips_total": Metric(
            "Clips with an answer (ok), or with the reason why there is none.", ("status",)
        ),
        "mer_serve_batch_clips": Metric("Clips that the model answered together."),
        "mer_serve_queue_clips": Metric("Clips that wait for the model or are being answered."),
        "mer_serve_model_version": Metric("Version that answers.", ("model",)),
        "mer_serve_model_changes_total": Metric("How often another version began to answer.", ("model",)),
    }
)
"""Of the service (`mer serve`), which has a page of its own: it is no part of the page of metrics of the home."""
