"""Registration and promotion: a version is registered once per key; the gate alone decides whether it is served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task

from infra.artifacts import ArtifactRef
from mer.predictor.package import (
    ADAPTER_FOLDER,
    ALIGNMENT_FOLDER,
    RECORD,
    STREAM_ADAPTERS_FOLDER,
    ModelPackage,
)
from mer.recipes import Recipe
from tasks.data.dataset import load_partitions
from tasks.data.streams import spaces_read
from tasks.learn.ensemble import load_ensemble
from tasks.selftrain.pseudo_labels import standing_generations
from tasks.serve.comparison import held_out, snapshot_of
from tasks.serve.evaluation import PSEUDO_MARK
from tasks.stage.references import DatasetRef, FusedView, ModelVersion, Promotion, ViewSpaces
from tasks.stage.run import Produced, StageResult, StageRun, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.evaluation.gate import ScoredClips
    from mer.examples import Examples

CHAMPION, CHALLENGER = "champion", "challenger"


@task(name="register")
def register(
    dataset: DatasetRef,
    recipe: Recipe,
    spaces: ViewSpaces,
    served: FusedView,
    evaluation: StageResult,
    parent_run: str | None,
) -> ModelVersion:
    """Commit the model package and register it as the next version (the same package: the same version).

    Of an ensemble the package holds every fusion that takes part, and how they are combined.
    """
    spaces = spaces_read(recipe, spaces)
    adapter = spaces.adapter if "acoustic" in recipe.reads else None
    alignment = spaces.alignment if "visual" in recipe.reads else None
    encoders = {name: encoder for name, encoder in spaces.encoders.items() if name in recipe.reads}
    ensemble = load_ensemble(workspace(), served.model) if served.members else None
    fusions = (
        {name: served.members[name] for name in ensemble.needed}
        if ensemble
        else {served.system: served.model}
    )

    taught = served.system.endswith(PSEUDO_MARK)
    generations = standing_generations.fn(dataset, recipe).generations if taught else ()

    def produce(run: StageRun) -> Produced:
        package = ModelPackage(
            recipe=recipe,
            read_layer=spaces.read_layer,
            block=(spaces.block.start, spaces.block.stop) if spaces.block and adapter else None,
            tower_blocks={
                name: (encoder.block.start, encoder.block.stop) for name, encoder in encoders.items()
            },
            temperature=float(evaluation.meta["temperature"]),
            system=served.system,
            ensemble=ensemble,
            generations=generations,
        )
        files: dict[str, Path | bytes] = {RECORD: package.write(run.folder)}
        parts = {package.fusion_folders[name]: ref for name, ref in fusions.items()}
        parts |= {ADAPTER_FOLDER: adapter} if adapter else {}
        parts |= {ALIGNMENT_FOLDER: alignment} if alignment else {}
        parts |= {f"{STREAM_ADAPTERS_FOLDER}/{name}": encoder.adapter for name, encoder in encoders.items()}
        for folder, ref in parts.items():
            files |= {
                f"{folder}/{path.name}": path for path in sorted(run.space.artifacts.fetch(ref).iterdir())
            }
        return Produced(files=files, meta={"system": served.system})

    package = run_stage(
        "model",
        inputs={
            "fusions": {name: ref.sha256 for name, ref in fusions.items()},
            "ensemble": ensemble.to_json() if ensemble else None,
            "adapter": adapter.sha256 if adapter else None,
            "alignment": alignment.sha256 if alignment else None,
            **(
                {"towers": {name: encoder.adapter.sha256 for name, encoder in encoders.items()}}
                if encoders
                else {}
            ),
            "evaluation": evaluation.ref.sha256,
            **({"generations": list(generations)} if generations else {}),
        },
        config={"recipe": recipe.model_dump(mode="json")},
        produce=produce,
    )
    space = workspace()
    metrics = {
        name: float(value) for name, value in evaluation.meta.items() if isinstance(value, int | float)
    }
    version = space.catalogue.add_model_version(
        recipe.name,
        artifact=package.ref,
        evaluation=evaluation.ref,
        snapshot=dataset.membership,
        metrics=metrics,
        idempotency_key=package.ref.key,
    )
    if package.ran and parent_run is not None:
        space.tracker.register_version(recipe.name, version, package.ref, parent=parent_run, metrics=metrics)
    return ModelVersion(name=recipe.name, version=version, ref=package.ref, metrics=metrics)


@task(name="gate and promote")
def gate_and_promote(
    dataset: DatasetRef,
    recipe: Recipe,
    challenger: ModelVersion,
    evaluation: StageResult,
    fencing_token: int | None,
) -> Promotion:
    """Compare the challenger with the champion on clips neither trained on; promote it if the gate lets it pass."""
    space = workspace()
    champion = space.catalogue.champion(recipe.name)
    if champion is not None and champion.version == challenger.version:
        return Promotion(
            decision="kept", reason="this version is the champion already", champion=champion.version
        )
    serving = champion.version if champion else None
    if (earlier := space.catalogue.decision_on(recipe.name, challenger.version, against=serving)) is not None:
        return Promotion(decision="rejected", reason=earlier, champion=serving)
    from mer.evaluation.gate import decide, decide_first

    truth, _ = load_partitions(space, dataset, recipe)
    new = _scored(space, truth, evaluation.ref, dataset.membership)
    if champion is None or champion.evaluation is None:
        decision = decide_first(new, recipe.gate)
    else:
        decision = decide(new, _scored(space, truth, champion.evaluation, champion.snapshot_id), recipe.gate)
    if decision.promote and not space.tracker.reachable():
        # A champion that the registry does not know of would be served unseen; the next run promotes it.
        return Promotion(
            decision="deferred", reason="MLflow does not answer: nothing is promoted", champion=serving
        )
    alias = CHAMPION if decision.promote else CHALLENGER
    audit = space.catalogue.set_alias(
        recipe.name,
        alias,
        challenger.version,
        decision.reason,
        evidence=decision.to_json(),
        fencing_token=fencing_token,
    )
    space.tracker.set_alias(recipe.name, alias, challenger.version, order=audit.id)
    return Promotion(
        decision="promoted" if decision.promote else "rejected",
        reason=decision.reason,
        champion=challenger.version if decision.promote else serving,
    )


def _scored(space: Workspace, truth: Examples, evaluation: ArtifactRef, snapshot: str | None) -> ScoredClips:
    """A version's predictions on clips it learnt nothing from: out-of-fold ones and the holdout's, with today's labels.

    A clip whose file is another one since the version's snapshot is left out: what was predicted is not there any more.
    """
    from mer.evaluation.gate import ScoredClips

    position = {clip_id: row for row, clip_id in enumerate(truth.clip_ids)}
    members = snapshot_of(space, snapshot)
    content = {member.name: member.content for member in members}
    posteriors = held_out(space, evaluation, members)
    usable = [
        name
        for name in posteriors.clip_ids
        if (row := position.get(name)) is not None
        and truth.emotion[row] >= 0
        and (not content or content.get(name) == truth.content_of(row))
    ]
    rows = [position[name] for name in usable]
    return ScoredClips(
        clip_ids=tuple(usable),
        truth=truth.emotion[rows],
        predicted=posteriors.restricted(usable).predicted,
        speaker=tuple(truth.speaker[row] for row in rows),
    )
