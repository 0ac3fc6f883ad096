"""Parameters of prediction: what the Prefect UI shows as a form."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from infra.objects.bucket_address import check_no_secret
from mer.conformal.policy import AnswerPolicy
from mer.errors import ConfigError
from mer.label_shift.given import parse_priors
from mer.names import check_name


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
    model: str = Field(
        default="",
        description="Registered model. Empty: the one that was promoted last.",
    )
    version: int | None = Field(default=None, ge=1, description="Version; empty: the champion.")
    label_shift: Literal["", "off", "report", "correct-if-shifted"] = Field(
        default="",
        description="What to do about class priors that differ from the training clips'. Empty: as the version's recipe says.",
    )
    priors: str = Field(
        default="",
        description="How often each class comes among these clips, where that is known: neutral=.2,angry=.3,... for every class. "
        "Answers are those under these priors; with label shift `report` only what they would change is said. Empty: not known.",
    )
    speaker_clips: tuple[str, ...] = Field(
        default=(),
        description="Files, or folders of them, of the one new speaker whose clips these are: answers are those of a speaker who "
        "lies where the training speakers do. One clip helps little, ten most of the way; no labels are read.",
    )
    transcripts: str = Field(
        default="",
        description="Table of what is spoken in the clips (.csv, .tsv, .parquet, .jsonl): names or paths, and texts. Empty: the "
        "text files beside the clips, then the catalogue.",
    )

    policy: AnswerPolicy = Field(
        default_factory=AnswerPolicy,
        description="When clips are answered at all, and with which sets of classes. Empty: as the version's recipe says.",
    )

    @field_validator("model")
    @classmethod
    def _plain_model(cls, value: str) -> str:
        return check_name(value, "name of a model") if value else value

    @field_validator("paths", "speaker_clips")
    @classmethod
    def _without_secrets(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_no_secret, paths))

    @field_validator("priors")
    @classmethod
    def _readable_priors(cls, text: str) -> str:
        try:
            parse_priors(text)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return text

    @model_validator(mode="after")
    def _has_clips(self) -> PredictOptions:
        if not self.paths and not self.candidates:
            raise ValueError("expected paths of clips, or a table of candidates; found neither")
        return self
