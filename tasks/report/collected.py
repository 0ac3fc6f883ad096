"""What the sections of a report read: a version's record, its evaluation, its snapshot, and what its run kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra.artifacts import ArtifactRef, manifest_uri
from infra.catalogue import ModelVersionRow, SnapshotMemberRow
from infra.errors import ArtifactCorrupt, ArtifactMissing
from infra.shown_address import shown_address
from mer.posteriors import Posteriors
from mer.predictor.package import RECORD, ModelPackage
from mer.report.blocks import Source
from tasks.data.dataset import earlier_dataset, load_examples
from tasks.data.old_ids import named_posteriors
from tasks.learn.search_record import FILE as STUDY
from tasks.learn.search_record import kept_studies
from tasks.report.documents import Document
from tasks.report.predicted import Known, Predicted
from tasks.report.run_figures import found_figures
from tasks.serve.comparison import snapshot_of
from tasks.serve.evaluation_files import HOLDOUT, OUT_OF_FOLD
from tasks.stage.references import SnapshotPlan
from tasks.stage.workspace import Workspace

EARLIER = "kept by runs of 0.7.0 and later; this version comes from an earlier one, or its record was removed by `mer prune`"
"""Why what a run keeps is not there."""


@dataclass(frozen=True)
class Collected:
    """A version and everything that is known of it."""

    space: Workspace
    row: ModelVersionRow
    against: ModelVersionRow | None
    """What it is held against; None: there is no other version."""

    @cached_property
    def package(self) -> ModelPackage:
        """Its record."""
        return ModelPackage.parse(self.space.artifacts.read(self.row.artifact, RECORD))

    @property
    def emotions(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self.package.recipe.emotions

    @cached_property
    def evaluation(self) -> Document:
        """Its evaluation's report."""
        return Document("evaluation/report.json", self._read(self._evaluation, "report.json"))

    @property
    def _evaluation(self) -> ArtifactRef:
        if self.row.evaluation is None:
            raise LookupError(
                f"model {self.row.name!r} version {self.row.version}: expected a version with an evaluation, found one that was "
                "registered without; `mer run` makes a new one"
            )
        return self.row.evaluation

    @cached_property
    def members(self) -> list[SnapshotMemberRow]:
        """The snapshot's clips."""
        return snapshot_of(self.space, self.row.snapshot_id)

    @cached_property
    def corpus(self) -> str:
        """Name of the corpus that it was trained on."""
        return self.space.catalogue.corpus_of(self.row) or ""

    @cached_property
    def out_of_fold(self) -> Predicted:
        """Predictions of the folds' models for the clips that they held out."""
        return self._predicted(OUT_OF_FOLD)

    @cached_property
    def holdout(self) -> Predicted:
        """Predictions of the served model for the fixed holdout."""
        return self._predicted(HOLDOUT)

    def _predicted(self, file: str) -> Predicted:
        stored = Posteriors.from_parquet(self.space.artifacts.read(self._evaluation, file))
        folds = self._folds
        known = {
            one.name: Known(one.emotion, one.speaker, one.part, folds.get(one.name, -1))
            for one in self.members
        }
        posteriors = named_posteriors(stored, self.members)
        return Predicted.of(f"evaluation/{file}", self.emotions, posteriors, self.package.temperature, known)

    @cached_property
    def _folds(self) -> dict[str, int]:
        """Clip -> its outer fold, -1 of the holdout; empty without a snapshot."""
        plan = SnapshotPlan.of(self.package.recipe)
        snapshot = self.row.snapshot_id
        dataset = None if snapshot is None else earlier_dataset.fn(self.corpus, plan, snapshot)
        if dataset is None:
            return {}
        examples = load_examples(self.space, dataset).examples
        return dict(zip(examples.clip_ids, map(int, examples.fold), strict=True))

    @cached_property
    def _figures(self) -> ArtifactRef | None:
        return found_figures(self.space, self.row.evaluation)

    def kept(self, file: str) -> Document | None:
        """A file of what the run kept; None: it kept nothing, or that is gone."""
        if self._figures is None:
            return None
        try:
            return Document(f"figures/{file}", self._read(self._figures, file))
        except (ArtifactMissing, ArtifactCorrupt):
            return None

    @cached_property
    def studies(self) -> list[Document]:
        """Studies of the version's recipe on its corpus, the newest first."""
        return [Document(f"{name}/{STUDY}", self._read(ref, STUDY)) for name, ref in self._study_refs.items()]

    @cached_property
    def _study_refs(self) -> dict[str, ArtifactRef]:
        refs = kept_studies(self.space, self.corpus, self.package.recipe.name)
        there = (self.space.artifacts.lookup(ref.kind, ref.key) for ref in refs)
        return {f"study {ref.key[:12]}": ref for ref in there if ref is not None}

    def _read(self, ref: ArtifactRef, file: str) -> Any:
        return json.loads(self.space.artifacts.read(ref, file))

    def sources(self) -> tuple[Source, ...]:
        """The artifacts that figures come from, by the names in their sources."""
        named = {"model": self.row.artifact, "evaluation": self.row.evaluation, "figures": self._figures}
        if self.against is not None:
            named["evaluation of the other version"] = self.against.evaluation
        named |= self._study_refs
        store = self.space.settings.object_store_url
        found = [
            Source(name=name, uri=shown_address(manifest_uri(store, ref)), sha256=ref.sha256)
            for name, ref in named.items()
            if ref is not None
        ]
        if self.row.snapshot_id is not None:
            found.append(
                Source(
                    name="snapshot", uri=f"catalogue, snapshot of {self.corpus}", sha256=self.row.snapshot_id
                )
            )
        return tuple(found)
