"""Parameters of the flows: what the Prefect UI shows as a form, and what the command line fills in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from infra.objects.bucket_address import check_no_secret, folder_name, is_bucket_address
from mer.alignment.config import AlignmentStudyConfig
from mer.corpora.emotion_set import AUTO_EMOTIONS, parse_emotions
from mer.corpora.label_map import parse_label_map
from mer.corpora.options import ReadingOptions
from mer.corpora.valence_scale import parse_valence_scale
from mer.errors import ConfigError
from mer.evaluation.gate import GateConfig
from mer.names import check_folder_name, check_name, check_study_name
from mer.recipes import Recipe, load_recipe, recipe_names
from mer.recipes.problems import problems_of

CLIPS_RECIPE, DEMO_RECIPE = "clips", "demo"
"""Recipes where none is named: for a corpus, and for the demo corpus."""

Options = TypeVar("Options", bound=BaseModel)


class FlowOptions(BaseModel):
    """What every flow over a corpus needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str = Field(
        default="",
        description=f"A built-in recipe ({', '.join(recipe_names())}), or the path of a YAML file. Empty: `{CLIPS_RECIPE}` where "
        f"a corpus is given, otherwise `{DEMO_RECIPE}`.",
    )
    set: tuple[str, ...] = Field(
        default=(),
        description="Options of the recipe that are changed, PATH=VALUE each: fusion.hidden=64, lexical=null. Later ones win.",
    )
    corpus: str = Field(
        default="",
        description="Folder of clips and labels, or one in a bucket, s3://BUCKET/PREFIX?endpoint=http://HOST:PORT, which is read "
        "through a local copy. Empty: the demo corpus, made in the data folder on first use.",
    )
    corpus_name: str = Field(
        default="",
        description="Name in the catalogue. Empty: the folder's name. Keep it to add new clips later.",
    )
    format: str = Field(
        default="auto",
        description="Layout of the corpus (mertools, mer2023 ... mer2026, mmsa, mmsa-pickle, meld, iemocap, emobox, table, "
        "ravdess, crema-d, emo-db, class_folders, folder); auto: found out.",
    )
    label_map: str = Field(
        default="",
        description="What the corpus' own labels are in the recipe's set: calm=neutral,fearful=worried,disgust= "
        "(nothing after = stands for no label).",
    )
    emotions: str = Field(
        default="",
        description="Classes in place of the recipe's: auto (the corpus' own labels, in alphabetical order), a set (mer, "
        "ravdess), or a list calm,tense. Empty: the recipe's; without a recipe those that the corpus was catalogued with, or, of "
        "a new one, its file or folder names where these are its labels.",
    )
    valence_scale: str = Field(
        default="",
        description="Scale that the valences of a table are written on, LOWEST..HIGHEST: 1..9, 0..1, -1..1. They become -5 to 5. "
        "Empty: -5..5.",
    )
    text_column: str = Field(
        default="",
        description="Column of the transcripts, where a table has several (one a language). Empty: the layout's own choice.",
    )

    @field_validator("corpus")
    @classmethod
    def _without_secret(cls, value: str) -> str:
        return check_no_secret(value)

    @field_validator("corpus_name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return check_name(value, "name of the corpus") if value else value

    @property
    def recipe_source(self) -> str:
        """Name or path of the recipe."""
        return self.recipe or (CLIPS_RECIPE if self.corpus else DEMO_RECIPE)

    def load_recipe(self) -> Recipe:
        """The recipe with the options that are changed, and the classes that are asked for; face detectors are named by what they
        are on this machine.

        Where neither recipe nor classes are said, a catalogued corpus keeps its classes, and a new one whose names of files or
        folders are its labels keeps these, if some are outside the recipe's. Of a bucket the local copy is read, brought up to
        date first.

        Raises:
            ConfigError: see `mer.recipes.load_recipe`; or `emotions: auto` without a corpus.
            CorpusError: `auto`, and the corpus cannot be read or has too few labels.
            SettingsError, StoreUnavailable, StoreFull, CatalogueUnavailable: bucket or catalogue cannot be read.
            WeightsError: the file of a face detector is absent or damaged.
        """
        return self._settled(self._classes(load_recipe(self.recipe_source, self.set)), self.set)

    def load_recipe_alone(self) -> Recipe:
        """The recipe as its file says it, without the options that are changed and without the corpus' classes.

        Raises:
            ConfigError, WeightsError: see `load_recipe`.
        """
        return self._settled(None, ())

    def _settled(self, classes: tuple[str, ...] | None, changed: tuple[str, ...]) -> Recipe:
        from infra.settings import load_settings
        from tasks.data.face_detectors import settled_recipe

        if classes:
            changed = (*changed, f"emotions={json.dumps(classes)}")
        return settled_recipe(load_recipe(self.recipe_source, changed), load_settings())

    def _classes(self, recipe: Recipe) -> tuple[str, ...] | None:
        """Classes in place of the recipe's; None: keep these."""
        from flows.corpus_classes import classes_unasked, own_classes

        if self.emotions == AUTO_EMOTIONS:
            return own_classes(self.corpus, self.reading())
        if self.emotions:
            return parse_emotions(self.emotions)
        if not self.corpus or self.recipe or any(text.startswith("emotions") for text in self.set):
            return None
        name = self.catalogue_name(self.corpus)
        return classes_unasked(
            self.corpus, name, recipe.emotions, self.reading(), named=bool(self.corpus_name)
        )

    def reading(self) -> ReadingOptions:
        """How the corpus is read.

        Raises:
            ConfigError: the label map or the scale is not of its form.
        """
        return ReadingOptions(
            format=self.format,
            label_map=parse_label_map(self.label_map),
            valence_scale=parse_valence_scale(self.valence_scale),
            text_column=self.text_column,
        )

    def catalogue_name(self, root: str) -> str:
        """Name of the corpus at `root` in the catalogue: the one given, or that of its folder.

        Raises:
            ConfigError: the folder's name cannot be one.
        """
        try:
            folder = folder_name(root) if is_bucket_address(root) else Path(root).resolve().name
            return self.corpus_name or check_folder_name(folder)
        except ValueError as error:
            raise ConfigError(str(error)) from error


class DemoOptions(FlowOptions):
    """Size of the corpus that is made when none is given."""

    demo_clips: int = Field(
        default=200, ge=30, le=20_000, description="Clips of the demo corpus (usable ones)."
    )
    demo_seed: int = Field(default=2023, ge=0, description="Seed of the demo corpus.")


class IngestOptions(DemoOptions):
    """Ingestion of a whole corpus, or of files that are named."""

    only: tuple[str, ...] = Field(
        default=(),
        description="New files of a corpus that is catalogued: these alone are read, as unlabelled clips, at a cost that does "
        "not grow with the corpus. Labels come with the next whole ingestion. Empty: the whole corpus.",
    )


class LayerOptions(DemoOptions):
    """The layer study of one stream."""

    stream: str = Field(
        default="",
        description="Stream whose encoder is studied, by its name in the recipe. Empty: every stream whose encoder has layers.",
    )
    pooling: Literal["", "mean_std", "statistics", "attention"] = Field(
        default="", description="Pooling over time before the head. Empty: as the recipe says."
    )


class AdaptOptions(DemoOptions):
    """Adaptation of the streams' encoders."""

    stream: str = Field(
        default="",
        description="Stream whose encoder is adapted, by its name in the recipe. Empty: all that the recipe adapts.",
    )


class RetrainOptions(DemoOptions):
    """The main flow."""

    model: str = Field(
        default="",
        description="Name of the model, whose versions compete to be its champion. Empty: the corpus' name; of the demo corpus "
        "the recipe's.",
    )
    promote: bool = Field(
        default=True,
        description="Let the gate promote the new version; off: it is registered as a challenger only.",
    )
    approval: Literal["", "off", "required"] = Field(
        default="",
        description="Whether a person must approve what the gate lets pass. Empty: as the recipe says (`gate.approval`).",
    )
    approval_hours: float | None = Field(
        default=None,
        gt=0,
        le=336,
        description="How long a version waits for approval, in hours; then it is not promoted. Empty: as the recipe says.",
    )
    on_drift: Literal["", "tell", "suggest", "start"] = Field(
        default="",
        description="Compare the new clips with the champion's training snapshot first. tell: say what drifted, then train; "
        "suggest: only say so, and train nothing; start: train only where drift exceeds the recipe's `drift.start_effect` and "
        "`drift.start_clips`, or `drift.start_labels` clips have labels that are new. Empty: train without a look. Without a "
        "champion it is trained in any case.",
    )

    refit: Literal["always", "grown"] = Field(
        default="always",
        description="When models are fitted again. grown: only where labels or clips have grown as far as the recipe's `refit` "
        "says since the model's last version of this recipe and code; what came since then has its features extracted, and "
        "waits. always: for whatever is new.",
    )

    @field_validator("model")
    @classmethod
    def _plain_model(cls, value: str) -> str:
        return check_name(value, "name of a model") if value else value

    def gate(self, recipe: Recipe) -> GateConfig:
        """The recipe's gate, with the approval that is asked for here."""
        asked = {"approval": self.approval, "approval_hours": self.approval_hours}
        return recipe.gate.model_copy(update={name: value for name, value in asked.items() if value})


class DriftOptions(RetrainOptions):
    """Comparison of new clips with the training snapshot of what is served."""

    clips: tuple[str, ...] = Field(
        default=(),
        description="Media files, or folders of them. Empty: the corpus' clips that came after the version's snapshot.",
    )
    version: int | None = Field(default=None, ge=1, description="Version; empty: the champion.")
    policy: Literal["", "tell", "suggest", "start"] = Field(
        default="",
        description="Most that drift leads to: a report, also the command that retrains, or (of a corpus) the retraining itself. "
        "Empty: as the recipe's `drift.policy` says.",
    )

    @field_validator("clips")
    @classmethod
    def _clips_without_secrets(cls, clips: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_no_secret, clips))


class RefreshOptions(RetrainOptions):
    """Self-training on new unlabelled clips."""

    promote: bool = Field(
        default=False,
        description="Let the gate promote the candidate; off: it is registered, and the next retraining decides.",
    )
    refit: Literal["always", "grown"] = Field(
        default="grown", description=RetrainOptions.model_fields["refit"].description
    )


class AlignOptions(DemoOptions):
    """Alignment of streams into the spaces of others, and its study on held-out speakers."""

    study: AlignmentStudyConfig = Field(
        default_factory=AlignmentStudyConfig,
        description="How the alignment is measured, and with which controls on shuffled pairs.",
    )


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

    @field_validator("study")
    @classmethod
    def _plain_study(cls, value: str) -> str:
        return check_study_name(value) if value else value


def checked_options(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """A flow's options from plain values.

    Raises:
        ConfigError: an option is unknown or out of range; all of them are named.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "\n".join(f"  {line}" for line in problems_of(error, values, kind))
        raise ConfigError(f"options cannot be used:\n{problems}") from error
