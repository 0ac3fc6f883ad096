"""Prometheus metrics of a home, read when they are asked for: from the catalogue, where processes leave what they counted."""

from __future__ import annotations

from infra.metrics.page import metrics_page

__all__ = ["metrics_page"]
