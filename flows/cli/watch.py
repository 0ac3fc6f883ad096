"""`mer watch`: clips that are dropped into a folder or bucket start a run by themselves."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows.cli.options import ApprovalOption, PromotingOption, RefitOption, TrainedModelOption
from flows.cli.over_corpus import CorpusArguments, over_corpus

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER|s3://BUCKET/PREFIX", help="Corpus that is watched: new media files below it count."
    ),
]
FlowOption = Annotated[
    Literal["refresh", "retrain", "ingest"],
    typer.Option(
        "--flow",
        help="What is started: refresh (self-training on what is new; a candidate, which the gate compares with --promote), "
        "retrain (the gate may promote), or ingest.",
    ),
]
DeploymentOption = Annotated[
    str,
    typer.Option(
        "--deployment",
        metavar="NAME",
        help="Let a worker run this deployment (`mer deploy`) instead of running --flow here.",
        show_default=False,
    ),
]
CountOption = Annotated[int, typer.Option("--count", min=1, help="New clips that start a run at once.")]
QuietOption = Annotated[
    float,
    typer.Option("--quiet-seconds", min=0, help="Fewer start a run when none has come for so long."),
]
EveryOption = Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks.")]
SettleOption = Annotated[
    float,
    typer.Option("--settle-seconds", min=0, help="A file that has not grown for so long is whole."),
]
BackgroundOption = Annotated[
    bool,
    typer.Option(
        "--background",
        help="Watch in the background: started again where it dies, and by `mer up`; `mer down` stops it, --stop for good.",
    ),
]
StopOption = Annotated[
    bool,
    typer.Option("--stop", help="Stop such a watch for good, given with the same source, flow and names."),
]
ReviewsOption = Annotated[
    bool,
    typer.Option("--reviews", help="Reviewed labels of the corpus (`mer review`) count as new clips do."),
]
RunsOption = Annotated[
    int, typer.Option("--runs", min=0, help="End after so many runs; 0: watch until Ctrl-C.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    @over_corpus(starts=False, called={"corpus": ""})
    def watch(
        corpus: CorpusArguments,
        source: SourceArgument,
        flow: FlowOption = "refresh",
        deployment: DeploymentOption = "",
        count: CountOption = 20,
        quiet_seconds: QuietOption = 300.0,
        every: EveryOption = 10.0,
        settle_seconds: SettleOption = 5.0,
        runs: RunsOption = 0,
        model: TrainedModelOption = "",
        promote: PromotingOption = None,
        approval: ApprovalOption = "",
        refit: RefitOption = "grown",
        reviews: ReviewsOption = False,
        background: BackgroundOption = False,
        stop: StopOption = False,
    ) -> None:
        """Watch a folder or bucket: clips that are dropped there start a run by themselves, once for each batch of them.

        Contents that the corpus has already do not count; files that are still being written are waited for. Stopped and started
        again it goes on where it was: nothing is lost, nothing runs twice.
        """
        local = not source.startswith("s3://")
        asked = replace(corpus, corpus=str(Path(source).resolve()) if local else source)
        given = {"model": model or None, "promote": promote, "approval": approval or None}
        training = {name: value for name, value in given.items() if value is not None}
        training |= {"refit": refit} if flow != "ingest" else {}
        looks = _Looks(count, quiet_seconds, settle_seconds, reviews)
        begun, lines = _watch(asked, flow, deployment, training, looks)
        if not stop:
            typer.echo("\n".join(lines))
        if background or stop:
            _in_background(begun.key, asked.corpus, stop)
            return
        typer.echo("Ctrl-C ends it; started again it goes on where it was")
        try:
            while True:
                begun.look()
                if runs and begun.ended >= runs:
                    return
                time.sleep(every)
        finally:
            begun.starter.stop()


def _in_background(key: str, source: str, ends: bool) -> None:
    """Start a service that gives this very command, without the option that says so; or end it."""
    from flows.cli.local import servers
    from flows.watching.background import end_watch, service_name, start_watch
    from infra.settings import load_settings

    settings = load_settings()
    if ends:
        typer.echo(f"{source} is not watched any more" if end_watch(key, settings) else "it was not watched")
        return
    servers()  # with the supervisor, which starts it again
    given = [item for item in sys.argv[1:] if item != "--background"]
    arguments = [source if item and Path(item).resolve() == Path(source) else item for item in given]
    if start_watch(key, arguments, settings):
        typer.echo(f"in the background: {settings.services_folder / service_name(key)}.log has its lines")
    else:
        typer.echo("it is watched already")


class _Looks:
    """When a file is whole, when a run is due, and whether reviewed labels count."""

    def __init__(
        self, count: int, quiet_seconds: float, settle_seconds: float, reviews: bool = False
    ) -> None:
        self.count, self.quiet_seconds, self.settle_seconds = count, quiet_seconds, settle_seconds
        self.reviews = reviews


def _watch(
    corpus: CorpusArguments, flow: str, deployment: str, training: dict[str, Any], looks: _Looks
) -> tuple[Any, tuple[str, ...]]:
    """The watch, and what is said of it first. Raises ConfigError for what cannot work."""
    from flows.options import DemoOptions, IngestOptions, RefreshOptions, RetrainOptions
    from flows.watching.rule import Rule
    from flows.watching.starters import DeploymentStarter, ProcessStarter, Starter
    from flows.watching.watch import Watch, watch_key
    from infra.objects.bucket_address import is_bucket_address
    from infra.settings import load_settings
    from mer.errors import ConfigError
    from tasks.data.arrivals import BucketSource, FolderSource, Source

    settings = load_settings()
    if training and flow == "ingest":
        raise ConfigError(f"--{' and --'.join(training)}: flow ingest registers no version")
    kinds: dict[str, type[DemoOptions]] = {
        "refresh": RefreshOptions,
        "retrain": RetrainOptions,
        "ingest": IngestOptions,
    }
    options = corpus.options(kinds[flow], **training)
    name = options.catalogue_name(corpus.corpus)
    source: Source
    if is_bucket_address(corpus.corpus):
        source = BucketSource(corpus.corpus, settings)
    elif Path(corpus.corpus).is_dir():
        source = FolderSource(Path(corpus.corpus), name, looks.settle_seconds)
        options.load_recipe()
    else:
        raise ConfigError(
            f"expected a folder of clips, found none at {corpus.corpus}: make it, or name another one"
        )
    rule = Rule(looks.count, looks.quiet_seconds)
    starter: Starter
    if deployment:
        from flows.cli.local import servers

        servers()
        from flows.deploying.registering import deployment_api
        from flows.supervision.local_worker import POOL

        over = {"corpus": corpus.corpus, "corpus_name": name}
        starter = DeploymentStarter.named(deployment_api(settings), (POOL,), deployment, over)
        what = f"deployment {deployment}"
    else:
        starter = ProcessStarter(
            f"flows.{flow}:{flow}", options.model_dump(mode="json", exclude_defaults=True)
        )
        what = f"{flow} with recipe {options.recipe_source}"
    from tasks.review.arrivals import WithReviews
    from tasks.stage.workspace import workspace

    if looks.reviews:
        source, what = WithReviews(source, name), f"{what}, also for reviewed labels"
    catalogue = workspace().catalogue
    lines = (f"watching {corpus.corpus} (corpus {name})", f"starts {what}", f"  {rule.words}")
    return Watch(watch_key(corpus.corpus, f"{name} {what}"), source, rule, starter, catalogue, _say), lines


def _say(line: str) -> None:
    from datetime import datetime

    typer.echo(f"{datetime.now().astimezone():%H:%M:%S} {line}")
