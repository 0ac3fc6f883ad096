"""The runbook has every alert, of Prefect's and of Prometheus', and everything that runs by itself."""

from __future__ import annotations

import re

from documented_commands import ROOT

from flows.deploying.alerts import standard_alerts

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| (?P<alert>[a-z ]*) ?\| (?:`(?P<rule>\w+)`)? ?\| (?P<means>[^|]+) \| (?P<do>[^|]+) \|$",
    RUNBOOK,
    re.MULTILINE,
)


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    rules = re.findall(r"alert: (\w+)", (ROOT / "docker/monitoring/rules.yaml").read_text(encoding="utf-8"))
    assert {alert.strip() for alert, *_ in ROWS} - {""} == {alert.name for alert in standard_alerts(3)}
    assert {rule for _, rule, *_ in ROWS} - {""} == set(rules)
    assert all(len(means.split()) > 3 and len(do.split()) > 3 for _, _, means, do in ROWS if means.strip())


def test_each_alert_has_the_rule_that_says_the_same() -> None:
    """As the long texts have them: **run failed** (Prometheus: `RunsFail`)."""
    long = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\*\*([a-z ]+)\*\* \((?:Prometheus: )?`(\w+)`\)", long, re.MULTILINE))
    assert told and all(told.get(alert.strip(), rule) == rule for alert, rule, *_ in ROWS if alert.strip())
