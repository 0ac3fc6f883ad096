"""Registration and promotion: a version is registered once per key; the gate alone decides whether it is served."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task

from infra.artifacts import ArtifactRef
from infra.errors import ArtifactCorrupt, ArtifactMissing
from mer.conformal.record import FILE as CONFORMAL
from mer.errors import ConfigError
from mer.evaluation.gate import GateConfig
from mer.media.detector_choice import detector_file
from mer.predictor.package import (
    ADAPTER_FOLDER,
    ALIGNMENT_FOLDER,
    DOMAIN_FOLDER,
    RECORD,
    STREAMS_FOLDER,
    ModelPackage,
    ServedStream,
    detector_path,
)
from mer.recipes import Recipe
from tasks.data.dataset import load_partitions
from tasks.learn.ensemble import load_ensemble
from tasks.selftrain.pseudo_labels import standing_generations
from tasks.serve.approval import standing_approval, wait_for_approval
from tasks.serve.comparison import held_out, served_temperature, snapshot_of
from tasks.serve.evaluation import PSEUDO_MARK
from tasks.serve.registry import mirror_after_change
from tasks.serve.unseen import of_other_corpus, with_unseen
from tasks.stage.origin import run_origin
from tasks.stage.references import (
    DatasetRef,
    FusedView,
    ModelVersion,
    Promotion,
    StreamInput,
    StreamInputs,
    View,
)
from tasks.stage.run import Produced, StageResult, StageRun, run_stage
from tasks.stage.saved_files import files_below
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.evaluation.gate import ScoredClips
    from mer.examples import Examples
    from mer.posteriors import Posteriors

logger = logging.getLogger(__name__)
CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class RegisteredAs:
    """Name of the model that a version belongs to, the recipe that made it, and what its origin says besides."""

    model: str
    recipe: Recipe
    origin: Mapping[str, str] = field(default_factory=dict)


@task(name="register")
def register(
    view: View,
    registered: RegisteredAs,
    inputs: StreamInputs,
    served: FusedView,
    evaluation: StageResult,
    domain: ArtifactRef,
) -> ModelVersion:
    """Commit the model package and register it as the next version (the same package: the same version).

    Of an ensemble the package holds every fusion that takes part, and how they are combined.

    Args:
        view: the view that is served.
        registered: name of the model, and its recipe, which goes into the package whole.
        inputs: the streams that are read, as this view has them.
        served: the system that is served.
        evaluation: its temperature and metrics are read.
        domain: where the view's training set lies, see `tasks.serve.domain`.
    """
    dataset, recipe, model = view.dataset, registered.recipe, registered.model
    parts = _learnt_parts(inputs)
    ensemble = load_ensemble(workspace(), served.model) if served.members else None
    fusions = (
        {name: served.members[name] for name in ensemble.needed}
        if ensemble
        else {served.system: served.model}
    )

    taught = served.system.endswith(PSEUDO_MARK)
    generations = standing_generations.fn(dataset, recipe.name).generations if taught else ()

    def produce(run: StageRun) -> Produced:
        package = ModelPackage(
            recipe=recipe,
            streams={
                name: ServedStream(
                    read_layer=item.learnt.read_layer,
                    block=_block(item) if f"{name}/{ADAPTER_FOLDER}" in parts else None,
                    **{
                        kind: f"{STREAMS_FOLDER}/{name}/{kind}"
                        for kind in (ADAPTER_FOLDER, ALIGNMENT_FOLDER)
                        if f"{name}/{kind}" in parts
                    },
                )
                for name, item in inputs.items()
            },
            temperature=float(evaluation.meta["temperature"]),
            system=served.system,
            ensemble=ensemble,
            generations=generations,
            domain=DOMAIN_FOLDER,
        )
        files: dict[str, Path | bytes] = {RECORD: package.write(run.folder)}
        files |= _detector_files(run.space, inputs)
        files[CONFORMAL] = run.space.artifacts.read(evaluation.ref, CONFORMAL)
        folders = {package.fusion_folders[name]: ref for name, ref in fusions.items()}
        folders |= {f"{STREAMS_FOLDER}/{folder_name}": ref for folder_name, ref in parts.items()}
        folders[DOMAIN_FOLDER] = domain
        for folder, ref in folders.items():
            files |= files_below(run.space.artifacts.fetch(ref), folder)
        return Produced(files=files, meta={"system": served.system})

    package = run_stage(
        "model",
        inputs={
            "fusions": {name: ref.sha256 for name, ref in fusions.items()},
            "ensemble": ensemble.to_json() if ensemble else None,
            "streams": {folder_name: ref.sha256 for folder_name, ref in parts.items()},
            "layers": {name: item.learnt.read_layer for name, item in inputs.items()},
            "evaluation": evaluation.ref.sha256,
            "domain": domain.sha256,
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
        model,
        artifact=package.ref,
        evaluation=evaluation.ref,
        snapshot=dataset.membership,
        metrics=metrics,
        idempotency_key=package.ref.key,
        origin=run_origin(recipe.name, dataset.corpus) | dict(registered.origin),
    )
    mirror_after_change(space)
    return ModelVersion(name=model, version=version, ref=package.ref, metrics=metrics)


def _learnt_parts(inputs: StreamInputs) -> dict[str, ArtifactRef]:
    """`<stream>/adapter` and `<stream>/alignment` -> what a prediction needs of them."""
    parts: dict[str, ArtifactRef] = {}
    for name, item in inputs.items():
        aligned = item.learnt.alignment if item.stream.keep_aligned else None
        # an alignment goes on from the adapted state, whether or not that is read as well
        adapter = item.learnt.adapter if item.stream.keep_adapted or aligned is not None else None
        parts |= {f"{name}/{ADAPTER_FOLDER}": adapter} if adapter is not None else {}
        parts |= {f"{name}/{ALIGNMENT_FOLDER}": aligned} if aligned is not None else {}
    return parts


def _detector_files(space: Workspace, inputs: StreamInputs) -> dict[str, Path | bytes]:
    """Where in the package -> the file of each face detector that a stream's crops are found by."""
    files: dict[str, Path | bytes] = {}
    for item in inputs.values():
        name = item.stream.features.detector
        if name is not None and (inside := detector_path(name)) is not None:
            files[inside] = detector_file(name, space.weights)
    return files


def _block(item: StreamInput) -> tuple[int, int] | None:
    block = item.learnt.block
    return (block.start, block.stop) if block is not None else None


@task(name="gate and promote")
def gate_and_promote(
    dataset: DatasetRef,
    gate: GateConfig,
    challenger: ModelVersion,
    evaluation: StageResult,
    fencing_token: int | None,
) -> Promotion:
    """Compare the challenger with the champion on clips neither trained on; promote it if the gate lets it pass.

    Labelled clips that the champion never saw it is asked to predict now.
    """
    space = workspace()
    champion = space.catalogue.champion(challenger.name)
    if champion is not None and champion.version == challenger.version:
        return Promotion(
            decision="kept", reason="this version is the champion already", champion=champion.version
        )
    serving = champion.version if champion else None
    if (standing := standing_approval(space, challenger, serving)) is not None:
        return standing
    if (
        earlier := space.catalogue.decision_on(challenger.name, challenger.version, against=serving)
    ) is not None:
        return Promotion(decision="rejected", reason=earlier, champion=serving)
    from mer.evaluation.gate import decide, decide_first

    truth, _ = load_partitions(space, dataset)
    new = scored_clips(
        truth,
        _stored(space, truth, evaluation.ref, dataset.membership),
        served_temperature(space, challenger.ref),
    )
    if champion is None or champion.evaluation is None:
        decision = decide_first(new, gate)
    else:
        stored = _stored(space, truth, champion.evaluation, champion.snapshot_id)
        answers = with_unseen(dataset, truth, champion, stored, new.clip_ids)
        old = scored_clips(truth, answers, served_temperature(space, champion.artifact))
        if (others := of_other_corpus(space, dataset, challenger.ref, champion)) is not None:
            new, old = new.joined(others[0]), old.joined(others[1])
        compared_before = _compared_before(space, challenger, champion.version)
        decision = decide(new, old, gate, compared_before, dataset.emotions)
    if decision.promote and not space.tracker.reachable():
        # A champion that the registry does not know of would be served unseen; the next run promotes it.
        return Promotion(
            decision="deferred", reason="MLflow does not answer: nothing is promoted", champion=serving
        )
    if decision.promote and gate.approval == "required":
        return wait_for_approval(space, challenger, decision, gate.approval_hours, fencing_token)
    reason = decision.reason
    if not decision.promote and champion is None:
        reason += (
            f"; `mer predict CLIP --model {challenger.name}` answers with it all the same, marked as not gated, and "
            f"`mer models {challenger.name} --promote {challenger.version}` makes it champion by hand"
        )
    alias = CHAMPION if decision.promote else CHALLENGER
    space.catalogue.set_alias(
        challenger.name,
        alias,
        challenger.version,
        reason,
        evidence=decision.to_json(),
        fencing_token=fencing_token,
    )
    mirror_after_change(space)
    return Promotion(
        decision="promoted" if decision.promote else "rejected",
        reason=reason,
        champion=challenger.version if decision.promote else serving,
    )


def _compared_before(space: Workspace, challenger: ModelVersion, champion: int) -> int:
    """How many other versions the champion was compared with on enough clips, and beaten by none."""
    return sum(
        row.version != challenger.version and bool(json.loads(row.evidence or "{}").get("groups"))
        for row in space.catalogue.challenges(challenger.name, against=champion)
    )


def require_same_classes(model: str, emotions: Sequence[str]) -> None:
    """Refuse to train a version that its model's champion cannot be compared with, before anything is trained.

    Raises:
        ConfigError: the champion answers with other classes.
    """
    space = workspace()
    champion = space.catalogue.champion(model)
    if champion is None:
        return
    try:
        served = ModelPackage.parse(space.artifacts.read(champion.artifact, RECORD)).recipe.emotions
    except (ArtifactMissing, ArtifactCorrupt) as error:
        # The run that trained it is what makes it whole again, so it must not be kept from starting.
        logger.warning("%s version %d, the champion, is not complete: %s", model, champion.version, error)
        return
    if tuple(served) == tuple(emotions):
        return
    new, gone = (
        [name for name in one if name not in two] for one, two in ((emotions, served), (served, emotions))
    )
    differences = [
        f"{', '.join(names)} {is_what}" for names, is_what in ((new, "new"), (gone, "gone")) if names
    ] or ["their order is another"]
    unlabelled = (
        f", or --label-map {','.join(f'{name}=' for name in new)} to leave out what is new" if new else ""
    )
    raise ConfigError(
        f"model {model}: its champion (version {champion.version}) answers {', '.join(served)}, and this run would train "
        f"{', '.join(emotions)} ({'; '.join(differences)}), so that the two cannot be compared; say --emotions "
        f"{','.join(served)} to train the champion's classes{unlabelled}; or give the new one a name of its own, e.g. --model "
        f"{model}-{len(emotions)}"
    )


def _stored(space: Workspace, truth: Examples, evaluation: ArtifactRef, snapshot: str | None) -> Posteriors:
    """A version's stored predictions of labelled clips it learnt nothing from: out-of-fold ones and the holdout's.

    A clip whose file is another one since the version's snapshot is left out: what was predicted is not there any more.
    """
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
    return posteriors.restricted(usable)


def scored_clips(truth: Examples, posteriors: Posteriors, temperature: float | None = None) -> ScoredClips:
    """Predictions beside today's labels: a label that was corrected since counts as it is now.

    Args:
        truth: labels of all clips.
        posteriors: of some of them.
        temperature: at which probabilities are served; None: only the classes are compared.
    """
    from mer.evaluation.gate import ScoredClips

    position = {clip_id: row for row, clip_id in enumerate(truth.clip_ids)}
    rows = [position[name] for name in posteriors.clip_ids]
    return ScoredClips(
        clip_ids=posteriors.clip_ids,
        truth=truth.emotion[rows],
        predicted=posteriors.predicted,
        speaker=tuple(truth.speaker[row] for row in rows),
        probabilities=None if temperature is None else posteriors.probabilities(temperature),
    )
