"""`mer deploy`: flows on schedules and as forms, run by a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.options import ApprovalOption, DeployedRefitOption, PromotingOption, TrainedModelOption
from flows.cli.over_corpus import CorpusArguments, over_corpus

FlowOption = Annotated[
    str,
    typer.Option(
        "--flow", help="Flow to deploy: retrain, refresh, ingest, features, search, ... (any over a corpus)."
    ),
]
DeploymentOption = Annotated[
    str,
    typer.Option(
        "--name",
        help="Name of the deployment. Left out: made of flow, corpus and recipe.",
        show_default=False,
    ),
]
CronOption = Annotated[
    str,
    typer.Option(
        "--cron",
        metavar="'MIN HOUR DAY MONTH WEEKDAY'",
        help="When it starts by itself, e.g. '0 3 * * *' (every night at 3). Left out: only when it is started.",
        show_default=False,
    ),
]
ZoneOption = Annotated[str, typer.Option("--timezone", help="Time zone of --cron, e.g. Europe/Berlin.")]
PriorityOption = Annotated[
    str, typer.Option("--priority", help="high, default or low: what workers take first.")
]
RetriesOption = Annotated[
    int,
    typer.Option("--retries", min=0, max=20, help="Further attempts after an error that may pass."),
]
HoursOption = Annotated[
    float | None,
    typer.Option("--timeout-hours", min=0.01, help="Longest time of a run. Left out: as the flow says."),
]
RemoveOption = Annotated[
    str, typer.Option("--remove", metavar="NAME", help="Remove this deployment instead.", show_default=False)
]
NotifyOption = Annotated[
    str,
    typer.Option(
        "--notify",
        metavar="BLOCK|none",
        help="Notification block of the Prefect server that alerts tell, TYPE/NAME (slack-webhook/ops). Left out: as it is.",
        show_default=False,
    ),
]
AlertDaysOption = Annotated[
    float | None,
    typer.Option(
        "--alert-days",
        min=0.01,
        max=365,
        help="Days without a completed retraining that are an alert. Left out: as it is, 3 the first time.",
    ),
]
WorkerOption = Annotated[bool, typer.Option(help="Start a worker in the background, unless one runs.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    @over_corpus(starts=False, called={"name": "--corpus-name"})
    def deploy(
        corpus: CorpusArguments,
        flow: FlowOption = "retrain",
        name: DeploymentOption = "",
        cron: CronOption = "",
        timezone: ZoneOption = "UTC",
        model: TrainedModelOption = "",
        promote: PromotingOption = None,
        approval: ApprovalOption = "",
        refit: DeployedRefitOption = "grown",
        priority: PriorityOption = "",
        retries: RetriesOption = 2,
        timeout_hours: HoursOption = None,
        remove: RemoveOption = "",
        notify: NotifyOption = "",
        alert_days: AlertDaysOption = None,
        worker: WorkerOption = True,
    ) -> None:
        """Register deployments and start a worker in the background: flows on schedules, and as forms of the Prefect page.

        Without options one for every flow; retraining and cleaning up every night. With a recipe, corpus, schedule or name: one
        deployment of --flow, e.g. `mer deploy --corpus clips --recipe best --cron '0 2 * * *' --name nightly-best`. Alerts are
        registered with them: runs that fail or are late, no retraining for days, refusals of the gate, rollbacks, drift.
        """
        if remove:
            _remove(remove)
            return
        own = {
            "flow": flow,
            "name": name,
            "cron": cron,
            "timezone": timezone,
            "priority": priority,
            "retries": retries,
            "timeout_hours": timeout_hours,
        }
        training = {"model": model, "promote": promote, "approval": approval, "refit": refit}
        plain = corpus == CorpusArguments() and own == _DEFAULTS and training == _TRAINING_DEFAULTS
        _deploy(None if plain else (corpus, own, training), worker, (notify, alert_days))


_DEFAULTS: dict[str, Any] = {
    "flow": "retrain", "name": "", "cron": "", "timezone": "UTC", "priority": "", "retries": 2, "timeout_hours": None,
}  # fmt: skip
_TRAINING_DEFAULTS: dict[str, Any] = {"model": "", "promote": None, "approval": "", "refit": "grown"}


def _deploy(
    asked: tuple[CorpusArguments, dict[str, Any], dict[str, Any]] | None,
    worker: bool,
    alerts: tuple[str, float | None],
) -> None:
    from flows.cli.local import servers, show_addresses
    from flows.deploying.definitions import housekeeping, standard_deployments

    deployments = standard_deployments() if asked is None else (_own_deployment(*asked), *housekeeping())
    started = servers()
    from flows.deploying.alerts import alert_lines, register_alerts
    from flows.deploying.registering import lines_of, register_deployments
    from flows.supervision.local_worker import start_worker
    from infra.settings import load_settings

    settings = load_settings()
    registered_alerts = register_alerts(*alerts)
    registered = register_deployments(deployments, settings)
    if worker:
        start_worker(settings)
    show_addresses(started)
    typer.echo(f"registered {len(registered)} deployments:")
    for line in lines_of(registered):
        typer.echo(f"  {line}")
    for line in alert_lines(registered_alerts):
        typer.echo(line)
    if worker:
        typer.echo("a worker runs them in the background: `mer status` shows it, `mer down`\nstops it")


def _own_deployment(corpus: CorpusArguments, own: dict[str, Any], training: dict[str, Any]) -> Any:
    """The deployment that is described; what cannot work is said before any server is started."""
    from flows.deploying.definitions import (
        FLOWS,
        OVER_CORPUS,
        PRIORITIES,
        TRAINING,
        Deployment,
        check_deployment_name,
    )
    from flows.deploying.registering import next_start
    from flows.options import (
        DemoOptions,
        IngestOptions,
        LayerOptions,
        RefreshOptions,
        RetrainOptions,
        SearchOptions,
    )
    from infra.objects.bucket_address import is_bucket_address
    from mer.errors import ConfigError

    flow = own["flow"]
    if flow not in OVER_CORPUS:
        raise ConfigError(f"--flow: expected one of {', '.join(OVER_CORPUS)}, found {flow!r}")
    if own["priority"] and own["priority"] not in PRIORITIES:
        raise ConfigError(f"--priority: expected {', '.join(PRIORITIES)}, found {own['priority']!r}")
    given = {name: value for name, value in training.items() if value != _TRAINING_DEFAULTS[name]}
    if given and flow not in TRAINING:
        raise ConfigError(
            f"--{' and --'.join(given)}: flow {flow} registers no version; expected --flow {' or '.join(TRAINING)}"
        )
    if own["cron"]:
        next_start(own["cron"], own["timezone"])
    kinds: dict[str, type[DemoOptions]] = {
        "ingest": IngestOptions,
        "retrain": RetrainOptions,
        "refresh": RefreshOptions,
        "search": SearchOptions,
        "layers": LayerOptions,
    }
    if flow in TRAINING:
        given["refit"] = training["refit"]
    options = corpus.options(kinds.get(flow, DemoOptions), **{**FLOWS[flow].parameters, **given})
    if corpus.corpus and not is_bucket_address(corpus.corpus) and not Path(corpus.corpus).is_dir():
        raise ConfigError(f"--corpus: expected a folder of clips and labels, found none at {corpus.corpus}")
    recipe = options.load_recipe()
    said = options.model_dump(mode="json", exclude_defaults=True)
    if corpus.corpus and not is_bucket_address(corpus.corpus):
        said["corpus"] = str(Path(corpus.corpus).resolve())  # a worker starts in another folder
    if Path(corpus.recipe).suffix in (".yaml", ".yml"):
        said["recipe"] = str(Path(corpus.recipe).resolve())
    where = options.catalogue_name(corpus.corpus) if corpus.corpus else "demo"
    name = own["name"] or "-".join([flow, where.replace(" ", "_"), recipe.name])
    return Deployment(
        name=check_deployment_name(name),
        flow=flow,
        options=said,
        cron=own["cron"],
        timezone=own["timezone"],
        tags=("mer", f"corpus {where}", f"recipe {recipe.name}"),
        priority=own["priority"] or None,
        retries=own["retries"],
        timeout_hours=own["timeout_hours"],
    )


def _remove(name: str) -> None:
    from flows.cli.local import servers

    servers()
    from flows.deploying.registering import remove_deployment
    from infra.settings import load_settings

    flow = remove_deployment(name, load_settings())
    typer.echo(f"removed deployment {name} of flow {flow}; its runs stay in the Prefect page")
