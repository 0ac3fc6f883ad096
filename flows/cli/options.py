"""Options that commands of the command line share, or that would hide what a command does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="Built-in recipe (demo, ravdess, acoustic_adaptation, acoustic_adaptation_full, audio_guided, joint_decoding, best, "
        "baseline_attention) or a recipe's YAML file.",
    ),
]
CorpusOption = Annotated[
    str,
    typer.Option(
        "--corpus", help="Folder of clips and labels. Left out: the demo corpus, made on first use."
    ),
]
NameOption = Annotated[
    str, typer.Option("--name", help="Name in the catalogue. Left out: the folder's name.")
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format", help="Layout of the corpus, e.g. mertools, mer2025, mmsa, meld, table; auto: found out."
    ),
]
LabelMapOption = Annotated[
    str,
    typer.Option(
        "--label-map", help="The corpus' own labels in the recipe's set: calm=neutral,disgust= (no label)."
    ),
]
ClipsOption = Annotated[int, typer.Option("--demo-clips", help="Clips of the demo corpus, if none is given.")]
CandidatesOption = Annotated[
    Path | None,
    typer.Option(
        "--candidates",
        help="Table of the names a submission must have: exactly its rows are written, in order.",
    ),
]
LabelShiftOption = Annotated[
    Literal["", "off", "report", "correct-if-shifted"],
    typer.Option(
        "--label-shift",
        help="Class priors of these clips: only report them beside the table, or correct answers where a test says that "
        "they differ from the training clips'. Left out: as the version's recipe says.",
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
    Literal["acoustic", "visual", "lexical"],
    typer.Option("--stream", help="Stream whose encoder is studied."),
]
AdaptStreamOption = Annotated[
    Literal["", "acoustic", "visual", "lexical"],
    typer.Option("--stream", help="Stream whose encoder is adapted. Left out: all that the recipe adapts."),
]
PoolingOption = Annotated[
    Literal["", "mean_std", "statistics", "attention"],
    typer.Option("--pooling", help="Pooling over time before the heads. Left out: as the recipe says."),
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
