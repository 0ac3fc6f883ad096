"""Deployments as data: what is registered, in which form, and what a person is told; the server itself: `tests/e2e`.

After a change that is meant: `WRITE_SNAPSHOTS=1 python -m pytest THIS_FILE` writes `deployments.json` anew.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cleaning import FLOWS as CLEANED
from flows.cli import app
from flows.cli import deploy as command
from flows.deploying.definitions import (
    FLOWS,
    OVER_CORPUS,
    Deployment,
    housekeeping,
    standard_deployments,
    working_folder,
)
from flows.deploying.forms import LISTED, OTHER, Choices, form_of, known_choices
from flows.deploying.registering import Registered, lines_of, next_start
from flows.supervision.local_worker import ROOT
from infra.settings import Settings
from mer.errors import ConfigError
from mer.recipes import recipe_names

SNAPSHOT = Path(__file__).with_name("deployments.json")
CHOICES = Choices(
    closed=known_choices(None).closed,
    open={
        **known_choices(None).open,
        "recipe": ["RECIPES"],
        "model": ["MODELS"],
        "corpus_name": ["CORPORA"],
        "corpus": [],
    },
)


def _described(deployment: Deployment, settings: Settings) -> dict[str, Any]:
    """What the server is sent, with folders of this machine named, and the form as names of fields and what they offer."""
    form = form_of(deployment.flow, CHOICES, deployment.options)
    fields = form["definitions"][form["properties"]["options"]["$ref"].rpartition("/")[2]]["properties"]
    shown = {name: _offered(described) for name, described in fields.items()}
    text = json.dumps({**deployment.payload(settings), "form": shown})
    for path, name in ((settings.home, "HOME"), (ROOT, "ROOT")):
        text = text.replace(json.dumps(str(path))[1:-1], name)
    described: dict[str, Any] = json.loads(text)
    return described


def _offered(field: dict[str, Any]) -> Any:
    if "anyOf" in field:
        return [item.get("enum", item.get("type", item.get("$ref"))) for item in field["anyOf"]]
    return field.get("enum", field.get("type", field.get("$ref", "any")))


def test_all_definitions_are_as_they_were(settings: Settings) -> None:
    now = [_described(item, settings) for item in standard_deployments()]
    if os.environ.get("WRITE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    before = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert [item["name"] for item in now] == [item["name"] for item in before]
    for one, other in zip(now, before, strict=True):
        assert one == other, f"{one['name']}: WRITE_SNAPSHOTS=1 writes {SNAPSHOT.name} anew, if this is meant"


def test_every_flow_is_deployed_and_its_old_runs_are_cleaned_up() -> None:
    assert {item.flow for item in standard_deployments()} == set(FLOWS) == set(CLEANED)
    assert [item.name for item in standard_deployments() if item.cron] == ["retrain", "prune"]
    assert {item.name for item in housekeeping()} == {"prune", "approval"}


def test_entrypoints_are_what_prefect_can_import() -> None:
    from prefect import Flow
    from prefect.flows import load_flow_from_entrypoint

    for name, flow in FLOWS.items():
        loaded = load_flow_from_entrypoint(flow.entrypoint)
        assert isinstance(loaded, Flow) and loaded.name == name


def test_an_installed_package_needs_no_checkout(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("flows.deploying.definitions",):
        monkeypatch.setattr(f"{module}.ROOT", Path("/env/lib/site-packages"))
    (payload,) = (item.payload(settings) for item in standard_deployments() if item.name == "retrain")
    assert "PYTHONPATH" not in payload["job_variables"]["env"]
    assert working_folder(settings) == settings.home
    assert payload["pull_steps"] == [] and payload["path"] is None and ":" not in payload["entrypoint"]


def test_forms_offer_lists_and_take_other_texts() -> None:
    choices = Choices(closed=known_choices(None).closed, open={**known_choices(None).open, "model": ["demo"]})
    form = form_of("retrain", choices, {"recipe": "/my/recipe.yaml"})
    fields = form["definitions"]["RetrainOptions"]["properties"]
    listed, other = fields["recipe"]["anyOf"]
    assert listed["enum"] == ["", *recipe_names(), "/my/recipe.yaml"] and listed["title"] == LISTED
    assert other == {"type": "string", "title": OTHER}
    assert fields["model"]["anyOf"][0]["enum"] == ["", "demo"]
    assert fields["format"]["enum"][:2] == ["auto", "mertools"] and "anyOf" not in fields["format"]
    assert fields["corpus"]["type"] == "string", "no corpus is known: a text alone"
    assert fields["approval"]["enum"] == ["", "off", "required"]
    assert all(field["description"] for field in fields.values())


def test_forms_of_all_flows_fit_their_parameters() -> None:
    """Prefect's server checks parameters against the form before a run is made."""
    from jsonschema import validate

    for item in standard_deployments():
        form = form_of(item.flow, known_choices(None), item.options)
        options = dict(item.options) or ({"model": "demo", "version": 1} if item.flow == "approval" else {})
        validate({"options": options}, form)
        if item.flow in OVER_CORPUS:
            more = {
                "recipe": "/of/mine.yaml",
                "corpus": "/clips",
                "set": ["fusion.hidden=16"],
                "format": "table",
            }
            validate({"options": {**options, **more}}, form)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> list[Deployment]:
    """What would have been registered, in place of a server."""
    made: list[Deployment] = []

    def deploy(asked: Any, worker: bool, alerts: tuple[str, float | None]) -> None:
        made.extend(standard_deployments() if asked is None else [command._own_deployment(*asked)])

    monkeypatch.setattr(command, "_deploy", deploy)
    return made


def test_any_flow_recipe_and_corpus(
    deployed: list[Deployment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my clips").mkdir()
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("extends: demo\nname: mine\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(
        app,
        ["deploy", "--flow", "refresh", "--recipe", "mine.yaml", "--corpus", "my clips", "--corpus-name", "calls",
         "--set", "fusion.hidden=16", "--cron", "0 2 * * *", "--timezone", "Europe/Berlin", "--name", "nightly", "--model",
         "calls", "--priority", "high", "--retries", "5", "--timeout-hours", "3", "--approval", "required"],
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    (made,) = deployed
    assert (made.name, made.flow, made.cron, made.timezone) == (
        "nightly",
        "refresh",
        "0 2 * * *",
        "Europe/Berlin",
    )
    assert made.options == {
        "recipe": str(recipe), "corpus": str(tmp_path / "my clips"), "corpus_name": "calls", "set": ["fusion.hidden=16"],
        "model": "calls", "approval": "required",
    }  # fmt: skip
    payload = made.payload(Settings(home=tmp_path / "home"))
    assert payload["tags"] == ["mer", "corpus calls", "recipe mine"]
    assert (payload["work_queue_name"], payload["concurrency_limit"]) == ("high", 1)
    assert payload["concurrency_options"] == {"collision_strategy": "CANCEL_NEW"}
    variables = payload["job_variables"]["env"]
    assert (variables["MER_RUN_RETRIES"], variables["MER_RUN_TIMEOUT_HOURS"]) == ("5", "3")


def test_without_options_all_of_them(deployed: list[Deployment]) -> None:
    assert CliRunner().invoke(app, ["deploy"]).exit_code == 0
    assert [item.name for item in deployed] == list(FLOWS)


def test_a_deployment_without_a_name_has_one(deployed: list[Deployment]) -> None:
    assert CliRunner().invoke(app, ["deploy", "--flow", "search", "--recipe", "best"]).exit_code == 0
    assert (deployed[0].name, deployed[0].options) == ("search-demo-best", {"recipe": "best"})
    assert deployed[0].when_busy == "ENQUEUE", "no schedule: who starts a run waits for it"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--cron", "0 3 * *"], "--cron.*expected minute hour day month weekday"),
        (["--cron", "0 3 * * *", "--timezone", "Mars/Olympus"], "--timezone.*Mars/Olympus"),
        (["--flow", "predict"], "--flow: expected one of retrain"),
        (["--priority", "urgent"], "--priority: expected high, default, low"),
        (["--flow", "ingest", "--model", "x"], "ingest registers no version"),
        (["--corpus", "no/such/folder"], "expected a folder of clips and labels"),
        (["--name", "a/b"], "name of the deployment"),
        (["--recipe", "demmo"], "nearest: demo"),
    ],
)
def test_what_cannot_work_is_said_before_a_server_is_started(
    arguments: list[str], complaint: str, deployed: list[Deployment]
) -> None:
    answer = CliRunner().invoke(app, ["deploy", *arguments])
    assert answer.exit_code == 1 and isinstance(answer.exception, ConfigError)
    with pytest.raises(ConfigError, match=complaint):
        raise answer.exception


def test_the_next_start_knows_summer_time() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    starts = next_start("30 3 * * *", "Europe/Berlin", before)
    assert starts.astimezone(UTC) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_people_are_told_what_runs_when_in_80_columns() -> None:
    nightly = Deployment(name="nightly-best", flow="retrain", cron="0 2 * * *", timezone="Europe/Berlin")
    lines = list(
        lines_of(
            [
                Registered(nightly, datetime(2026, 12, 1, 1, tzinfo=UTC), False),
                Registered(Deployment(name="prune", flow="prune", cron="30 5 * * *"), None, True),
                Registered(Deployment(name="ingest", flow="ingest"), None, False),
            ]
        )
    )
    assert (
        lines[0].startswith("nightly-best retrain  next Tue 2026-12-01")
        and "(0 2 * * * Europe/Berlin)" in lines[0]
    )
    assert "switched off in the Prefect page" in lines[1]
    assert lines[2].endswith("when it is started")
    assert max(len(line) + 2 for line in lines) <= 80
