"""The board, the rules and the docs know the page: every name and label they use is one that it has, and none is forgotten."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.metrics.names import COUNTED, METRICS

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "docker" / "monitoring"
DOC = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
BOARD: dict[str, Any] = json.loads((MONITORING / "board.json").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in yaml.safe_load((MONITORING / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
QUERIES = {
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in BOARD["panels"]
        for target in panel["targets"]
    },
    **{rule["alert"]: rule["expr"] for rule in RULES},
}
NAME = re.compile(r"\bmer_\w+")
SELECTOR = re.compile(r"\b(mer_\w+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"')
GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
OF_PROMETHEUS = {"job", "instance"}


def problems(query: str) -> list[str]:
    """What of a query the page does not give."""
    names = set(NAME.findall(query))
    found = [f"no metric {name}" for name in sorted(names - set(METRICS))]
    for name, matchers in SELECTOR.findall(query):
        known = METRICS[name].labels if name in METRICS else ()
        found += [f"{name} has no label {label}" for label in MATCHER.findall(matchers) if label not in known]
    every = {label for name in names & set(METRICS) for label in METRICS[name].labels}
    grouped = {label.strip() for part in GROUPED.findall(query) for label in part.split(",") if label.strip()}
    found += [f"nothing in it has label {label}" for label in sorted(grouped - every - OF_PROMETHEUS)]
    counters = {name for name in names if name in COUNTED}
    found += [
        f"{name} is a counter: expected its growth"
        for name in sorted(counters)
        if not re.search(rf"(?:increase|rate)\({name}\b", query)
    ]
    return found + ([] if query.count("(") == query.count(")") else ["unbalanced"])


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_asks_for_what_the_page_has(query: str) -> None:
    assert NAME.search(QUERIES[query]) or 'up{job="mer"}' in QUERIES[query]
    assert problems(QUERIES[query]) == []


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("mer_clip", "no metric mer_clip"),
        ('mer_clips{corpse="c"}', "mer_clips has no label corpse"),
        ("sum by (stage) (mer_clips)", "nothing in it has label stage"),
        ("sum(mer_stages_total)", "is a counter"),
        ("sum(mer_clips", "unbalanced"),
    ],
)
def test_what_is_a_problem(query: str, problem: str) -> None:
    assert any(problem in found for found in problems(query))


@pytest.mark.parametrize("panel", BOARD["panels"], ids=lambda panel: panel["title"])
def test_legends_name_labels_that_their_query_leaves(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        shown = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
        left = {label.strip() for part in GROUPED.findall(target["expr"]) for label in part.split(",")}
        if not re.search(r"\b(?:sum|max|min|count)\b", target["expr"]):
            left |= {label for name in NAME.findall(target["expr"]) for label in METRICS[name].labels}
        assert shown <= left, target
    assert panel["datasource"]["uid"] == "prometheus"


def test_every_metric_is_on_the_board_and_in_the_docs() -> None:
    asked = {name for query in QUERIES.values() for name in NAME.findall(query)}
    assert set(METRICS) - asked == {
        "mer_info",
        "mer_flow_run_seconds_total",
        "mer_last_drift_timestamp_seconds",
    }
    rows = re.findall(r"^\| `(mer_\w+)` \| ([^|]*) \|", DOC, re.MULTILINE)
    assert {name: tuple(re.findall(r"\w+", labels)) for name, labels in rows} == {
        name: metric.labels for name, metric in METRICS.items()
    }


def test_the_board_is_laid_out_without_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_every_rule_has_a_paragraph_that_says_what_to_do() -> None:
    for rule in RULES:
        assert {"summary"} <= set(rule["annotations"]) and rule["labels"]["severity"] in (
            "page",
            "ticket",
            "info",
        )
        assert f"`{rule['alert']}`" in DOC, rule["alert"]


def test_prometheus_asks_the_page_as_it_is_served() -> None:
    (job,) = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())["scrape_configs"]
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    (target,) = job["static_configs"][0]["targets"]
    assert target in services["metrics"]["command"][-1].split(",")
    assert job["job_name"] == "mer" and job["basic_auth"]["username"] == "mer"
    assert (
        job["basic_auth"]["password_file"] == services["metrics"]["environment"]["MER_METRICS_PASSWORD__FILE"]
    )
    source = yaml.safe_load((MONITORING / "datasource.yaml").read_text())["datasources"][0]
    assert source["uid"] == BOARD["panels"][0]["datasource"]["uid"]
