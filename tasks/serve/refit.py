"""Whether a run fits models again, and on which snapshot: by how far the corpus has grown since the model's last version.

A fit that stays is no hidden reuse. Where nothing is to be fitted the run takes the snapshot of the last version in place of the
present one, so every stage is found by its key; where alignments alone stay, the alignment stage of that earlier snapshot is
looked up, and its hash is an input of what reads it. What a run may go on from was made by the same recipe and code
(`fit_identity`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from prefect import task
from prefect.runtime import flow_run

from infra.catalogue import ModelVersionRow, RefitFacts, SnapshotGrowth
from mer.errors import ConfigError, WeightsError
from mer.features.spec import FeatureSpec
from mer.recipes import Recipe
from mer.training.refit import FIT_AGAIN, Growth, LearntFrom, RefitDecision, decide, fit_because
from tasks.data.dataset import earlier_dataset
from tasks.data.features import feature_key
from tasks.stage.references import DatasetRef, SnapshotPlan
from tasks.stage.run import digest
from tasks.stage.workspace import Workspace, workspace

IDENTITY, ALIGNED_ON, REASON = "fit", "aligned_on", "refit"
"""What a version's origin says of it: recipe and code, the snapshot its alignments are of (left out: its own), and why it was
fitted."""
_NOT_FITTED_BY = ("name", "description", "gate", "drift", "refit", "label_shift", "shard_clips")
"""Options of a recipe that change nothing that is fitted."""


@dataclass(frozen=True)
class Refit:
    """What a run learns from."""

    dataset: DatasetRef
    """The present snapshot, or where nothing is fitted that of the last version."""
    aligned_on: DatasetRef | None
    """An earlier snapshot whose alignments stay; None: they are fitted on `dataset`."""
    fits: bool
    lines: tuple[str, ...]
    """Why, for people; empty where nobody asked."""
    identity: str
    """Recipe and code, see `fit_identity`."""
    since_version: int | None = None
    waiting: int = 0
    """Clips that are new, or have a new label, and wait for the next fit."""

    @property
    def origin(self) -> dict[str, str]:
        """What a version that this run registers says of its fit."""
        aligned_on = self.aligned_on.membership if self.aligned_on is not None else ""
        said = {IDENTITY: self.identity, ALIGNED_ON: aligned_on, REASON: "; ".join(self.lines)}
        return {name: value for name, value in said.items() if value}

    @property
    def tags(self) -> dict[str, str]:
        """What the tracked run says of it."""
        if not self.lines:
            return {}
        since = {} if self.since_version is None else {"mer.refit.since_version": str(self.since_version)}
        return {
            "mer.refit": "fitted" if self.fits else "nothing fitted",
            "mer.refit.why": "; ".join(self.lines),
            **since,
        }

    @property
    def nothing(self) -> str:
        """What is said of a run in which nothing is fitted though clips are new; empty for others."""
        if self.fits or not self.waiting:
            return ""
        return f"Nothing was fitted, version {self.since_version} stays: {'; '.join(self.lines)}."


@task(name="decide whether to fit again")
def plan_refit(model: str, recipe: Recipe, dataset: DatasetRef, grown: bool) -> Refit:
    """Compare the present snapshot with that of the model's last version of this recipe and code, and note what follows.

    Args:
        model: its name.
        recipe: of the run.
        dataset: the present snapshot.
        grown: fit only what has grown far enough; False: everything is fitted that is new, and nothing is noted.
    """
    space = workspace()
    identity = fit_identity(space, recipe)
    if not grown:
        return Refit(dataset, None, True, (), identity)
    last = last_fit(space, model, dataset.corpus, identity)
    refit = _compared(space, recipe, dataset, identity, last)
    space.catalogue.note_refit(
        RefitFacts(
            model=model,
            corpus=dataset.corpus,
            snapshot=dataset.membership,
            since_version=refit.since_version,
            fitted=refit.fits,
            reason="; ".join(refit.lines),
            run=str(flow_run.name) if flow_run.name else None,
        )
    )
    return refit


def _compared(
    space: Workspace, recipe: Recipe, dataset: DatasetRef, identity: str, last: ModelVersionRow | None
) -> Refit:
    if last is None or last.snapshot_id is None:
        why = fit_because("no version of this recipe and code to go on from")
        return Refit(dataset, None, why.fits, why.lines, identity)
    aligned = (last.origin or {}).get(ALIGNED_ON, last.snapshot_id)
    growths = [space.catalogue.growth(before, dataset.membership) for before in (last.snapshot_id, aligned)]
    plan = SnapshotPlan.of(recipe)
    decision, dataset_then, aligned_on = _decided(growths, recipe), None, None
    if not decision.fits:
        dataset_then = earlier_dataset.fn(dataset.corpus, plan, last.snapshot_id)
    if not decision.aligns and recipe.anchors and (decision.fits or aligned != last.snapshot_id):
        aligned_on = earlier_dataset.fn(dataset.corpus, plan, aligned)
    grown = growths[0]
    waiting = max(grown.clips_new, grown.labels_new) if grown is not None and not decision.fits else 0
    return Refit(
        dataset_then or dataset, aligned_on, decision.fits, decision.lines, identity, last.version, waiting
    )


def _decided(growths: list[SnapshotGrowth | None], recipe: Recipe) -> RefitDecision:
    known = [Growth(**asdict(growth)) for growth in growths if growth is not None]
    if len(known) < len(growths):
        return fit_because("the snapshot of the last version is not kept any more", FIT_AGAIN)
    learnt_from: LearntFrom = "labels"
    if recipe.anchors:
        learnt_from = "pairs"
    elif recipe.pseudo_labels is not None:
        learnt_from = "clips"
    return decide(known[0], known[1], recipe.refit, learnt_from)


def last_fit(space: Workspace, model: str, corpus: str, identity: str) -> ModelVersionRow | None:
    """The last version of a model that this recipe and code fitted on this corpus."""
    for row in sorted(space.catalogue.model_versions(model), key=lambda row: row.version, reverse=True):
        origin: Mapping[str, str] = row.origin or {}
        if origin.get(IDENTITY) == identity and origin.get("corpus") == corpus and row.retired_at is None:
            return row
    return None


def fit_identity(space: Workspace, recipe: Recipe) -> str:
    """Digest of everything besides clips that a fit depends on: options, features of the streams, code of `mer` and `tasks`."""
    streams = {name: _features(space, stream.features) for name, stream in recipe.streams.items()}
    options = recipe.model_dump(mode="json", exclude=set(_NOT_FITTED_BY))
    return digest({"recipe": options, "streams": streams, "code": source_digest()})[:16]


def _features(space: Workspace, spec: FeatureSpec) -> str:
    try:
        return feature_key(space.weights, spec)
    except (ConfigError, WeightsError) as error:  # the extraction that follows says it with the stream's name
        return str(error)


@cache
def source_digest() -> str:
    """Digest of the text of `mer` and `tasks`: coarser than the keys of stages, which are what decides where it differs."""
    found = hashlib.sha256()
    for package in ("mer", "tasks"):
        root = Path(str(files(package)))
        for path in sorted(root.rglob("*.py")):
            found.update(
                f"{package}/{path.relative_to(root).as_posix()}".encode() + b"\0" + path.read_bytes()
            )
    return found.hexdigest()
