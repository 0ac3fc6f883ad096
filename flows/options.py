"""Parameters of the flows: what the Prefect UI shows as a form, and what the command line fills in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mer.alignment.config import AlignmentStudyConfig


class FlowOptions(BaseModel):
    """What every flow over a corpus needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str = Field(
        default="demo",
        description="A built-in recipe (demo, ravdess, acoustic_adaptation, audio_guided, joint_decoding, best, ...), or "
        "the path of a YAML file.",
    )
    corpus: str = Field(
        default="",
        description="Folder of clips and labels. Empty: the demo corpus, made in the data folder on first use.",
    )
    corpus_name: str = Field(
        default="",
        description="Name in the catalogue. Empty: the folder's name. Keep it to add new clips later.",
    )
    format: str = Field(
        default="auto",
        description="Layout of the corpus (mertools, mer2023 ... mer2026, mmsa, mmsa-pickle, meld, iemocap, table, "
        "ravdess, crema-d, emo-db, folder); auto: found out.",
    )
    label_map: str = Field(
        default="",
        description="What the corpus' own labels are in the recipe's set: calm=neutral,fearful=worried,disgust= "
        "(nothing after = stands for no label).",
    )


class DemoOptions(FlowOptions):
    """Size of the corpus that is made when none is given."""

    demo_clips: int = Field(
        default=200, ge=30, le=20_000, description="Clips of the demo corpus (usable ones)."
    )
    demo_seed: int = Field(default=2023, ge=0, description="Seed of the demo corpus.")


class LayerOptions(DemoOptions):
    """The layer study of one stream."""

    stream: str = Field(
        default="", description="Stream whose encoder is studied. Empty: every one that has an encoder."
    )
    pooling: Literal["", "mean_std", "statistics", "attention"] = Field(
        default="", description="Pooling over time before the head. Empty: as the recipe says."
    )


class AdaptOptions(DemoOptions):
    """Adaptation of the streams' encoders."""

    stream: str = Field(
        default="", description="Stream whose encoder is adapted. Empty: all that the recipe adapts."
    )


class RetrainOptions(DemoOptions):
    """The main flow."""

    promote: bool = Field(
        default=True,
        description="Let the gate promote the new version; off: it is registered as a challenger only.",
    )


class RefreshOptions(RetrainOptions):
    """Self-training on new unlabelled clips."""

    promote: bool = Field(
        default=False,
        description="Let the gate promote the candidate; off: it is registered, and the next retraining decides.",
    )


class AlignOptions(DemoOptions):
    """Alignment of vision into the acoustic space, and its study on held-out speakers."""

    study: AlignmentStudyConfig = Field(
        default_factory=AlignmentStudyConfig,
        description="How the alignment is measured, and with which controls on shuffled pairs.",
    )


def corpus_options(
    flow: str,
    recipe: str,
    corpus: str,
    corpus_name: str,
    format: str,
    label_map: str,
    demo_clips: int,
    **more: Any,
) -> DemoOptions:
    """What the command line gives to a flow over a corpus; `more` is what this flow alone has."""
    kinds: dict[str, type[DemoOptions]] = {
        "layers": LayerOptions,
        "adapt": AdaptOptions,
        "align": AlignOptions,
        "refresh": RefreshOptions,
    }
    values: dict[str, Any] = {
        "recipe": recipe,
        "corpus": corpus,
        "corpus_name": corpus_name,
        "format": format,
        "label_map": label_map,
        "demo_clips": demo_clips,
    }
    return kinds.get(flow, DemoOptions).model_validate(values | more)


class SearchOptions(DemoOptions):
    """Search over layer block, pooling, streams, fusion model and its training, on training folds only."""

    study: str = Field(
        default="",
        description="Name of the study; empty: made from recipe, corpus and what is searched. Resumed if it exists.",
    )
    write_recipe: str = Field(
        default="",
        description="File (.yaml) to write the best options to, as a whole recipe for `mer run`; empty: they are only printed.",
    )
    trials: int = Field(default=20, ge=1, le=10_000, description="Trials the study shall have in the end.")
    sampler: Literal["tpe", "gp", "nsga2"] = Field(
        default="tpe", description="How trials are chosen: tree-structured Parzen, Gaussian process, NSGA-II."
    )
    batch: int = Field(
        default=8, ge=1, le=256, description="Trials that a worker takes at once and trains side by side."
    )
    first_rung: int = Field(
        default=9,
        ge=0,
        le=10_000,
        description="Epochs after which the worse trials are first given up (then 3, 9 ... times as many); 0: never.",
    )
    fresh_seeds: int = Field(
        default=2,
        ge=0,
        le=20,
        description="Seeds with which the best trials are trained again before they are believed.",
    )


class PredictOptions(BaseModel):
    """Prediction with the champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[str, ...] = Field(
        default=(), description="Media files, or folders of them. Needed, unless candidates are given."
    )
    candidates: str = Field(
        default="",
        description="Table of the names a submission must have: exactly its rows are written, name,discrete[,valence].",
    )
    corpus_name: str = Field(
        default="", description="Corpus in the catalogue that candidates are clips of. Empty: any."
    )
    out: str = Field(
        default="predictions.csv", description="File to write: .csv, .json or .jsonl; a submission is a .csv."
    )
    model: str = Field(default="demo", description="Registered model name (the recipe's name).")
    version: int | None = Field(default=None, ge=1, description="Version; empty: the champion.")
    label_shift: Literal["", "off", "report", "correct-if-shifted"] = Field(
        default="",
        description="What to do about class priors that differ from the training clips'. Empty: as the version's recipe says.",
    )

    @model_validator(mode="after")
    def _has_clips(self) -> PredictOptions:
        if not self.paths and not self.candidates:
            raise ValueError("expected paths of clips, or a table of candidates; found neither")
        return self
