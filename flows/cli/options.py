"""Options that commands of the command line share, or that would hide what a command does."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from mer.names import check_name


def _built_in_recipes() -> list[str]:
    """Names of the built-in recipes, by their files alone: importing `mer.recipes` would cost `--help` its second."""
    package = find_spec("mer.recipes")
    folders = package.submodule_search_locations if package is not None else None
    return sorted(path.stem for folder in folders or () for path in Path(folder).glob("*.yaml"))


def _named(what: str) -> Callable[[str | None], str | None]:
    """Callback of an option that names something: refuses what is no name, with the reason."""

    def checked(value: str | None) -> str | None:
        try:
            return check_name(value, what) if value else value
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return checked


RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        help=f"Built-in recipe ({', '.join(_built_in_recipes())}) or a recipe's YAML file. Left out: clips "
        "with --corpus, otherwise demo.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change one option of the recipe, e.g. fusion.hidden=64 or lexical=null; may be repeated. `mer recipes NAME` shows "
        "them all.",
        show_default=False,
    ),
]
CorpusOption = Annotated[
    str,
    typer.Option(
        "--corpus",
        help="Folder of clips and labels, or one in a bucket (s3://BUCKET/PREFIX?endpoint=URL). Left out: the demo corpus, made "
        "on first use.",
    ),
]
NameOption = Annotated[
    str, typer.Option("--name", help="Name in the catalogue. Left out: the folder's name.")
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        help="Layout of the corpus, e.g. mertools, mer2025, mmsa, meld, table, class_folders; auto: found out.",
    ),
]
LabelMapOption = Annotated[
    str,
    typer.Option(
        "--label-map", help="The corpus' own labels in the recipe's set: calm=neutral,disgust= (no label)."
    ),
]
EmotionsOption = Annotated[
    str,
    typer.Option(
        "--emotions",
        help="Classes in place of the recipe's: auto (the corpus' own labels), a set (mer, ravdess), or a list calm,tense.",
    ),
]
ValenceScaleOption = Annotated[
    str,
    typer.Option(
        "--valence-scale",
        metavar="LOWEST..HIGHEST",
        help="Scale that the valences of a table are written on: 1..9, 0..1, -1..1. They become -5 to 5.",
    ),
]
TextColumnOption = Annotated[
    str,
    typer.Option(
        "--text-column", help="Column of the transcripts, where a table has several (one a language)."
    ),
]
ClipsOption = Annotated[int, typer.Option("--demo-clips", help="Clips of the demo corpus, if none is given.")]
_registered = _named("name of a model")
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        help="Registered model. Left out: the one that was promoted last.",
        callback=_registered,
    ),
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        help="Registered model. Left out: the one that was promoted last.",
        callback=_registered,
    ),
]
TrainedModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        help="Name of the model: its versions compete to be champion. Left out: the corpus' name (demo: the recipe's).",
        callback=_named("name of a model"),
        show_default=False,
    ),
]
PromotingOption = Annotated[
    bool | None,
    typer.Option(
        "--promote/--no-promote", help="Let the gate promote new versions. Left out: as the flow does."
    ),
]
DriftClipsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--clips",
        metavar="<PATH>",
        help="Media file, or folder of them; may be given several times. Left out: what is new in the corpus.",
        show_default=False,
    ),
]
PolicyOption = Annotated[
    Literal["", "tell", "suggest", "start"],
    typer.Option(
        "--policy",
        metavar="<tell|suggest|start>",
        help="Most that drift leads to: a report, also the command that retrains, or (of a corpus) the retraining itself. Left "
        "out: as the recipe's drift.policy says.",
        show_default=False,
    ),
]
OnDriftOption = Annotated[
    Literal["", "tell", "suggest", "start"],
    typer.Option(
        "--on-drift",
        metavar="<tell|suggest|start>",
        help="Look for drift of the new clips first: tell it and train; only suggest to train; or train only where the recipe's "
        "drift.start_effect is reached, or labels are new. Left out: train without a look.",
        show_default=False,
    ),
]
SimulateDriftOption = Annotated[
    bool,
    typer.Option(
        "--simulate-drift",
        help="In place of a run, a story on made clips in a home of its own: another recording channel is planted, noticed, "
        "learnt, gated.",
    ),
]
SimulatePoisonOption = Annotated[
    bool,
    typer.Option(
        "--simulate-poison",
        help="The same with a flood of one class and with wrong labels: guard, gate and rollback.",
    ),
]
PromoteOption = Annotated[
    int | None,
    typer.Option("--promote", min=1, metavar="VERSION", help="Make this version of MODEL champion by hand."),
]
ApprovalOption = Annotated[
    str,
    typer.Option(
        "--approval",
        metavar="<off|required>",
        help="Whether a person must approve what the gate lets pass. Left out: as the recipe says.",
        show_default=False,
    ),
]
ApproveOption = Annotated[
    int | None,
    typer.Option(
        "--approve", min=1, metavar="VERSION", help="Approve this version of MODEL, which waits for it."
    ),
]
RejectOption = Annotated[
    int | None,
    typer.Option(
        "--reject",
        min=1,
        metavar="VERSION",
        help="Refuse this version of MODEL: only another evaluation asks again.",
    ),
]
WhyOption = Annotated[
    bool, typer.Option("--why", help="Show who decided what on MODEL, when, why, and on which evidence.")
]
OneModelArgument = Annotated[str, typer.Argument(help="Only this model.", callback=_registered)]
RefitOption = Annotated[
    Literal["always", "grown"],
    typer.Option(
        "--refit",
        metavar="<always|grown>",
        help="When models are fitted again. grown: only where labels or clips have grown as far as the recipe's `refit` says "
        "(10 new labels, 5 % new clips; `mer recipes NAME` shows it) since the model's last version of this recipe; what came "
        "since then has its features extracted, and waits. always: for whatever is new.",
    ),
]
DeployedRefitOption = Annotated[
    Literal["always", "grown"],
    typer.Option(
        "--refit",
        metavar="<always|grown>",
        help="Of retrain and refresh: fit models only where labels or clips have grown as far as the recipe's `refit` says, or "
        "always.",
    ),
]
CandidatesOption = Annotated[
    Path | None,
    typer.Option(
        "--candidates",
        help="Table of the names a submission must have: exactly its rows are written, in order.",
    ),
]
AnswersFileOption = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="FILE",
        help="File to write: .csv, .json or .jsonl; its folder is made. - writes a table to the terminal or pipe instead. "
        "Left out: predictions.csv, or nothing with --json and --jsonl.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Write the answers to standard output, as one JSON array of objects.")
]
JsonLinesOption = Annotated[
    bool, typer.Option("--jsonl", help="Write the answers to standard output, one JSON object a line.")
]
TranscriptsOption = Annotated[
    Path | None,
    typer.Option(
        "--transcripts",
        help="Table of what is spoken: a column of names or paths, and one of texts (.csv, .tsv, .parquet, .jsonl). Left out: "
        "CLIP.txt beside CLIP.mp4, else what the catalogue knows.",
        show_default=False,
    ),
]
LabelShiftOption = Annotated[
    Literal["", "off", "report", "correct-if-shifted"],
    typer.Option(
        "--label-shift",
        metavar="<off|report|correct-if-shifted>",
        help="Class priors of these clips: only report them beside the table, or correct answers where a test says that "
        "they differ from the training clips'. Left out: as the version's recipe says.",
        show_default=False,
    ),
]
SpeakerClipsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--speaker-clips",
        metavar="<PATH>",
        help="Clips (a file, or a folder of them; may be given several times) of the one new speaker whose clips these are: what "
        "they tell of the speaker, without labels, is taken off before the others are answered. 1, 3, 10 clips or more.",
        show_default=False,
    ),
]
CoverageOption = Annotated[
    float | None,
    typer.Option(
        "--coverage",
        metavar="<SHARE>",
        min=0.5,
        max=0.999,
        help="Beside each answer the classes that the clip may have, so many that the true one is among them for this share of "
        "new speakers' clips: .9. One class: sure; several: it is one of them.",
        show_default=False,
    ),
]
RiskOption = Annotated[
    float | None,
    typer.Option(
        "--abstain-above-risk",
        metavar="<SHARE>",
        min=0.001,
        max=0.999,
        help="Answer only as many clips, the surest first, that at most this share of the answers is wrong: .1. The others have "
        "the status abstained, and keep their probabilities.",
        show_default=False,
    ),
]
NoAnswerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--no-answer-on",
        metavar="<FLAG>",
        help="No answer for clips with this flag (out_of_domain, no_speech, one_modality, ...); may be given several times.",
        show_default=False,
    ),
]
PriorsOption = Annotated[
    str,
    typer.Option(
        "--priors",
        metavar="<CLASS=SHARE,...>",
        help="How often each class comes among these clips, where that is known: neutral=.2,angry=.3,... for every class. "
        "Answers are those under these priors; with --label-shift report only what they would change is said.",
        show_default=False,
    ),
]
AgainstOption = Annotated[
    str,
    typer.Option(
        "--against",
        help="Compare with this version instead: NAME (its champion), NAME:VERSION, or a version number of MODEL.",
    ),
]
StreamOption = Annotated[
    str,
    typer.Option(
        "--stream",
        help="Stream (its name in the recipe) whose encoder is studied. Left out: every stream whose encoder has layers.",
    ),
]
AdaptStreamOption = Annotated[
    str,
    typer.Option(
        "--stream",
        help="Stream (its name in the recipe) whose encoder is adapted. Left out: all that the recipe adapts.",
    ),
]
PoolingOption = Annotated[
    Literal["", "mean_std", "statistics", "attention"],
    typer.Option(
        "--pooling",
        metavar="<mean_std|statistics|attention>",
        help="Pooling over time before the heads. Left out: as the recipe says.",
    ),
]
ControlOption = Annotated[
    bool,
    typer.Option(
        "--control/--no-control", help="Also fit on shuffled pairs, whose retrieval must stay at chance."
    ),
]
ControlFitsOption = Annotated[
    int, typer.Option("--control-fits", min=2, max=100, help="Fits of each control in every fold.")
]
TrialsOption = Annotated[int, typer.Option("--trials", help="Trials the study shall have in the end.")]
StudyOption = Annotated[str, typer.Option("--study", help="Name of the study; resumed if it exists.")]
SamplerOption = Annotated[
    Literal["tpe", "gp", "nsga2"],
    typer.Option(
        "--sampler", help="How trials are chosen: tree-structured Parzen, Gaussian process, NSGA-II."
    ),
]
BatchOption = Annotated[
    int, typer.Option("--batch", min=1, max=256, help="Trials that are trained side by side.")
]
FirstRungOption = Annotated[
    int,
    typer.Option(
        "--first-rung", min=0, help="Epochs after which the worse trials are first given up; 0: never."
    ),
]
WriteRecipeOption = Annotated[
    Path | None,
    typer.Option(
        "--write-recipe", help="File (.yaml) for the best options as a whole recipe, for `mer run --recipe`."
    ),
]
