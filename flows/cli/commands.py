"""The command line. Answers `--help` within a second: whatever is heavy is imported inside the commands.

One command line is one caller of the flows; the Prefect UI and schedules are others.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from flows.cli.audit import audit
from flows.cli.backup import register as register_backup
from flows.cli.check import check, check_before
from flows.cli.deploy import register as register_deploy
from flows.cli.describe import describe
from flows.cli.generations import generations
from flows.cli.group import Commands, everywhere, interruptible, is_verbose
from flows.cli.local import register
from flows.cli.local import servers as _servers
from flows.cli.local import show_addresses as _addresses
from flows.cli.logs import register as register_logs
from flows.cli.models import register as register_models
from flows.cli.options import (
    AdaptStreamOption,
    AgainstOption,
    ApprovalOption,
    BatchOption,
    ControlFitsOption,
    ControlOption,
    DriftClipsOption,
    FirstRungOption,
    ModelArgument,
    OnDriftOption,
    PolicyOption,
    PoolingOption,
    PromotingOption,
    RefitOption,
    SamplerOption,
    StreamOption,
    StudyOption,
    TrainedModelOption,
    TrialsOption,
    WriteRecipeOption,
)
from flows.cli.outcome import EXIT_CODES, UNUSABLE_INPUTS
from flows.cli.over_corpus import CorpusArguments, over_corpus
from flows.cli.predict import register as register_predict
from flows.cli.prune import prune
from flows.cli.quality import quality
from flows.cli.recipes import recipes
from flows.cli.report import report
from flows.cli.review import register as register_review
from flows.cli.serve import register as register_serve
from flows.cli.simulating import or_simulates
from flows.cli.watch import register as register_watch
from flows.cli.worker import worker

if TYPE_CHECKING:
    from flows.options import FlowOptions

_PACIFIED = "PacifyFlushWrapper"
"""What typer puts in place of an output that nobody reads on, before it exits with 1."""

_WITHOUT_LABELS = ("flows.ingest:ingest", "flows.features:features")
"""Flows that have something to do where no clip has a label."""

app = typer.Typer(
    name="mer",
    help="Multimodal emotion recognition: from clips and labels to a served, calibrated model.",
    epilog="First steps: `mer check FOLDER` (is my corpus understood?), `mer run` (demo corpus, everything), then "
    f"`mer models` and `mer predict CLIP.mp4`. {EXIT_CODES}",
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.callback()(everywhere)


@app.command()
@or_simulates
@over_corpus
def run(
    corpus: CorpusArguments,
    promote: Annotated[bool, typer.Option(help="Let the gate promote the new version.")] = True,
    model: TrainedModelOption = "",
    approval: ApprovalOption = "",
    on_drift: OnDriftOption = "",
    refit: RefitOption = "always",
) -> None:
    """Run the whole pipeline: ingest, features, layer study, PEFT, alignment, fusion, pseudo-labels, registration, promotion."""
    from flows.options import RetrainOptions

    given = {"promote": promote, "model": model, "approval": approval, "on_drift": on_drift, "refit": refit}
    run_flow("flows.retrain:retrain", corpus.options(RetrainOptions, **given))


@app.command()
@over_corpus
def ingest(
    corpus: CorpusArguments,
    only: Annotated[
        list[Path] | None,
        typer.Option(
            "--only",
            metavar="<FILE>",
            help="A new file of a corpus that is catalogued (may be given several times): it alone is read, as an unlabelled "
            "clip, at a cost that does not grow with the corpus.",
        ),
    ] = None,
) -> None:
    """Read a corpus into the catalogue: recognise, probe, hash; unusable files are quarantined with a reason."""
    from flows.options import IngestOptions

    named = tuple(str(path.absolute()) for path in only or ())
    run_flow("flows.ingest:ingest", corpus.options(IngestOptions, only=named))


@app.command()
@over_corpus
def features(corpus: CorpusArguments) -> None:
    """Extract the frozen features of every stream; only clips that lack them are touched."""
    from flows.options import DemoOptions

    run_flow("flows.features:features", corpus.options(DemoOptions))


@app.command()
@over_corpus
def layers(corpus: CorpusArguments, stream: StreamOption = "", pooling: PoolingOption = "") -> None:
    """Study which layers of a stream's encoder carry emotion, per outer fold, and choose the block to adapt."""
    from flows.options import LayerOptions

    run_flow("flows.layers:layers", corpus.options(LayerOptions, stream=stream, pooling=pooling))


@app.command()
@over_corpus
def adapt(corpus: CorpusArguments, stream: AdaptStreamOption = "") -> None:
    """Adapt the chosen or named layers of the streams' encoders by PEFT (layer study included)."""
    from flows.options import AdaptOptions

    run_flow("flows.pretrain:adapt", corpus.options(AdaptOptions, stream=stream))


@app.command()
@over_corpus
def align(
    corpus: CorpusArguments, control: ControlOption = True, control_fits: ControlFitsOption = 5
) -> None:
    """Align streams to the spaces of others and study that on held-out speakers: retrieval, controls, linear probes.

    Layer study and adaptation are included where the recipe has them; features may be precomputed.
    """
    from flows.options import AlignOptions

    study = {"control": control, "control_seeds": control_fits}
    run_flow("flows.align:align", corpus.options(AlignOptions, study=study))


@app.command()
@over_corpus
def train(corpus: CorpusArguments) -> None:
    """Train and score the fusion and every single stream on the outer folds, without registering anything."""
    from flows.options import DemoOptions

    run_flow("flows.train:train", corpus.options(DemoOptions))


@app.command()
@over_corpus
def refresh(
    corpus: CorpusArguments,
    model: TrainedModelOption = "",
    promote: PromotingOption = None,
    approval: ApprovalOption = "",
    on_drift: OnDriftOption = "",
    refit: RefitOption = "grown",
) -> None:
    """Self-training on new unlabelled clips: vote, guards, retraining, verdict of true labels (see `mer generations`).

    It registers a candidate, and serves it only with --promote, where the gate lets it. A few new clips alone fit nothing: they
    wait, with their features, until there are enough (--refit always does not wait).
    """
    from flows.options import RefreshOptions

    given: dict[str, Any] = {"model": model, "approval": approval, "on_drift": on_drift, "refit": refit}
    if promote is not None:
        given["promote"] = promote
    run_flow("flows.refresh:refresh", corpus.options(RefreshOptions, **given))


@app.command()
@over_corpus
def drift(
    corpus: CorpusArguments,
    clips: DriftClipsOption = None,
    model: TrainedModelOption = "",
    version: Annotated[int | None, typer.Option(min=1, help="Version; left out: the champion.")] = None,
    policy: PolicyOption = "",
) -> None:
    """Compare new clips with the training snapshot of what is served: embeddings, predictions, quality, class priors.

    Of --clips, or of the corpus' clips that came after the version. Speakers are compared with speakers: new voices are no drift.
    Exit code 3: some files cannot be read.
    """
    from flows.options import DriftOptions
    from flows.terminal import say_aside

    given = {"clips": tuple(clips or ()), "model": model, "version": version, "policy": policy}
    found = run_flow("flows.drift:drift", corpus.options(DriftOptions, **given))
    for path, reason in found.unusable:
        say_aside(f"not read: {path}: {reason}")
    if found.unusable:
        raise typer.Exit(UNUSABLE_INPUTS)


@app.command()
@over_corpus
def search(
    corpus: CorpusArguments,
    trials: TrialsOption = 20,
    study: StudyOption = "",
    sampler: SamplerOption = "tpe",
    batch: BatchOption = 8,
    first_rung: FirstRungOption = 9,
    write_recipe: WriteRecipeOption = None,
) -> None:
    """Search layer block, pooling, streams, fusion model and hyper-parameters with Optuna, judged on validation speakers.

    Of a recipe that serves a searched system (`ensemble: {search: ...}`) streams, kernel weights and members that the folds'
    training clips choose are proposed, judged on inner folds; options of trials are not read.

    Start it several times to share a study between processes; a killed one's trials are tried again by the others.
    Watch it in MLflow, or with `optuna-dashboard`: the command's last line says how.
    """
    from flows.options import SearchOptions

    options = corpus.options(
        SearchOptions,
        trials=trials,
        study=study,
        sampler=sampler,
        batch=batch,
        first_rung=first_rung,
        write_recipe=str(write_recipe or ""),
    )
    run_flow("flows.search:search", options)


register_predict(app)
register_serve(app)


@app.command("demo-data")
def demo_data(
    out: Annotated[Path, typer.Argument(help="Folder to make the corpus in.")],
    clips: Annotated[int, typer.Option(help="Usable clips.")] = 200,
    seed: Annotated[int, typer.Option(help="Same seed, same corpus.")] = 2023,
) -> None:
    """Make the demo corpus: talking faces (h264 + AAC), speech with emotional prosody, transcripts, labels, broken files."""
    from rich.progress import Progress

    from mer.demo import DemoConfig, generate_demo

    with Progress(transient=True) as bar:
        line = bar.add_task("making clips", total=None)
        config = DemoConfig(clips=clips, seed=seed)
        root = generate_demo(out, config, lambda done, total: bar.update(line, completed=done, total=total))
    typer.echo(f"demo corpus in {root}")


@app.command()
def evaluate(
    model: ModelArgument = "",
    version: Annotated[int | None, typer.Option(help="Version; left out: the champion.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write report.json and figures to.")] = None,
    against: AgainstOption = "",
) -> None:
    """Show the evaluation of a version: out-of-fold scores with intervals, holdout, calibration; `--out` writes the figures.

    With --against: both versions on the clips that neither was trained on, differences by paired bootstrap over speakers.
    """
    from flows.inspection import show_comparison, show_evaluation

    if against:
        show_comparison(model, version, against)
        return
    show_evaluation(model, version, out)


app.command()(report)
register_models(app)
register_review(app)
app.command()(quality)
app.command()(check)
app.command()(audit)
app.command()(describe)
app.command()(recipes)
app.command()(prune)
register(app)
app.command()(worker)
register_logs(app)
register_deploy(app)
register_watch(app)
register_backup(app)
app.add_typer(generations, name="generations")


def run_flow(flow: str, options: FlowOptions) -> Any:
    """Run a flow, `module:function`, and return its result; what cannot be used is said before any server is started."""
    from importlib import import_module

    interruptible()
    options.load_recipe()
    if options.corpus:
        check_before(options, trains=flow not in _WITHOUT_LABELS)
    from infra.services.stores import start_stores
    from infra.settings import load_settings
    from tasks.stage.workspace import existing_workspace

    start_stores(load_settings())
    existing_workspace()  # stores that cannot be used are said before any server is started
    started = _servers()
    from flows.upkeep import put_right

    for line in put_right():
        typer.echo(line)
    if not is_verbose():
        from flows.console_handler import use_console_handler

        use_console_handler()
    from flows.supervision.watched_run import run_watched

    module, _, function = flow.partition(":")
    run = getattr(import_module(module), function)
    _addresses(started)
    result = run_watched(run, options)
    from flows.terminal import shows_last_line_only
    from flows.workers.device_time import device_time

    if (cost := device_time().line()) is not None and not shows_last_line_only():
        typer.echo(cost)
    return result


def main() -> NoReturn:
    """Entry point: how a command ends, see `flows.cli.outcome`."""
    from flows.terminal import BROKEN_PIPE, close_output, finish_output, in_utf8, print_any_name
    from infra.modes import be_private

    be_private()
    in_utf8()
    print_any_name()
    code: Any = 0
    try:
        try:
            app(standalone_mode=True)
        except SystemExit as end:
            if type(sys.stdout).__name__ == _PACIFIED:
                raise BrokenPipeError from None
            code = end.code
        except BrokenPipeError:
            raise
        except Exception as error:
            from flows.cli.outcome import FAILED, failure, say_failure

            finish_output()
            say_failure(failure(error, is_verbose()))
            code = FAILED
        finish_output()
    except BrokenPipeError:
        close_output()
        code = BROKEN_PIPE
    sys.exit(code)


if __name__ == "__main__":
    main()
