"""The page of metrics in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from infra.metrics.gathering import Gatherer
from infra.metrics.names import COUNTED, METRICS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Collected(Collector):
    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer

    def collect(self) -> Iterable[Metric]:
        """A family for each metric, those without samples too: what there may be is on the page from the first time on."""
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
            name: (CounterMetricFamily if name in COUNTED else GaugeMetricFamily)(
                name, metric.description, labels=metric.labels
            )
            for name, metric in METRICS.items()
        }
        for sample in self._gatherer.samples():
            families[sample.name].add_metric(sample.labels, sample.value)
        return families.values()


def metrics_page(gatherer: Gatherer) -> bytes:
    """The page, as it is now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(gatherer))
    return generate_latest(registry)
