"""Feature extraction: what is missing, in shards, each committed by itself; new clips cost work only for themselves."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from prefect import task

from infra.artifacts import ArtifactRef
from infra.errors import ArtifactCorrupt, ArtifactMissing
from mer.clips import Clip
from mer.features.spec import FeatureSpec
from tasks.compute import computing
from tasks.references import FeatureSetRef, ShardPlan
from tasks.stage import StageResult, digest, lookup_verified
from tasks.work_folder import alone_in, clear_if_abandoned
from tasks.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.features.dataset import FeatureTable, RaggedTable
    from mer.features.extract import ClipFeature
    from mer.features.shard import Shard

SHARD_KIND = "features"
Item = TypeVar("Item")


@task(name="plan features")
def plan_features(stream: str, spec: FeatureSpec, clip_ids: Sequence[str], shard_clips: int) -> ShardPlan:
    """Find which clips lack the features of `spec`, and cut them into shards of at most `shard_clips`."""
    from mer.encoders.weights import resolve_weights

    space = workspace()
    identity = resolve_weights(spec.source, space.weights).identity
    features = FeatureSetRef(stream=stream, key=spec.key(identity), spec=spec)
    missing = missing_clips(space, features.key, clip_ids)
    return ShardPlan(
        features=features, shards=cut(missing, shard_clips), present=len(clip_ids) - len(missing)
    )


@task(name="extract shard", tags=["gpu"])
def extract_shard(corpus: str, features: FeatureSetRef, clip_ids: Sequence[str]) -> StageResult:
    """Extract one shard of clips and register it; a clip whose stream turns out unusable becomes a masked, flagged row."""
    from mer.features.extract import build_extractor, extract_clips

    spec = features.spec
    if spec is None:
        raise ValueError(f"feature set {features.key} is derived: only its own task computes it")
    space = workspace()

    def compute() -> list[ClipFeature]:
        return extract_clips(build_extractor(spec, space.weights), catalogued_clips(space, corpus, clip_ids))

    return commit_shard(space, features.key, clip_ids, compute)


def commit_shard(
    space: Workspace, feature_key: str, clip_ids: Sequence[str], compute: Callable[[], list[ClipFeature]]
) -> StageResult:
    """Compute, commit and register one shard, unless a verified one is there already (killed before registering)."""
    from mer.features.shard import INDEX, VALUES, write_shard

    started = time.monotonic()
    key = digest({"features": feature_key, "clips": list(clip_ids)})
    folder = space.work / SHARD_KIND / key
    ref, ran = lookup_verified(space, SHARD_KIND, key), False
    if ref is not None:
        clear_if_abandoned(folder)
    else:
        with alone_in(folder):
            ref = space.artifacts.lookup(SHARD_KIND, key)  # another process may have been faster
            if ref is None:
                with computing(space.settings):
                    write_shard(folder, clip_ids, compute())
                files = {name: folder / name for name in (INDEX, VALUES)}
                ref, ran = space.artifacts.commit(SHARD_KIND, key, files, meta={"clips": len(clip_ids)}), True
            shutil.rmtree(folder, ignore_errors=True)
    space.catalogue.register_features(feature_key, ref, list(clip_ids))
    return StageResult(ref=ref, ran=ran, seconds=time.monotonic() - started)


def missing_clips(space: Workspace, feature_key: str, clip_ids: Sequence[str]) -> list[str]:
    """Clips without features under `feature_key`, sorted; shards that fail verification count as missing."""
    have = space.catalogue.features_of(feature_key, list(clip_ids))
    for ref in set(have.values()):
        try:
            space.artifacts.verify(ref)
        except (ArtifactCorrupt, ArtifactMissing) as error:
            logging.getLogger(__name__).warning("feature shard %s is computed again: %s", ref.key[:12], error)
            space.catalogue.forget_shard(ref)
            space.artifacts.discard(ref)
            have = {clip_id: shard for clip_id, shard in have.items() if shard != ref}
    return sorted(set(clip_ids) - set(have))


def cut(items: Sequence[Item], shard_clips: int) -> tuple[tuple[Item, ...], ...]:
    """Consecutive shards of at most `shard_clips` items."""
    return tuple(tuple(items[i : i + shard_clips]) for i in range(0, len(items), shard_clips))


def catalogued_clips(space: Workspace, corpus: str, clip_ids: Sequence[str]) -> list[Clip]:
    """The catalogue's rows of these clips, as extractors see them, in the order asked for."""
    rows = {row.clip_id: row for row in space.catalogue.clips(corpus)}
    root = space.catalogue.corpus_root(corpus)
    return [
        Clip(
            clip_id=clip_id,
            name=rows[clip_id].name,
            path=rows[clip_id].path,
            corpus_root=root,
            transcript=rows[clip_id].transcript,
        )
        for clip_id in clip_ids
    ]


def feature_table(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> FeatureTable:
    """Utterance-level features of these clips, read through verified shards: values (clips, ...), present (clips,)."""
    from mer.features.dataset import assemble

    return assemble(_shards(space, features, clip_ids), clip_ids)


def frame_table(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> RaggedTable:
    """Framewise features of these clips, concatenated over time with offsets."""
    from mer.features.dataset import assemble_ragged

    return assemble_ragged(_shards(space, features, clip_ids), clip_ids)


def _shards(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> list[Shard]:
    from mer.features.shard import read_shard

    have = space.catalogue.features_of(features.key, list(clip_ids))
    if absent := len(set(clip_ids) - set(have)):
        raise ArtifactMissing(
            f"{features.stream} features {features.key[:12]}: {absent} clips are not extracted yet"
        )
    refs: dict[str, ArtifactRef] = {ref.key: ref for ref in have.values()}
    return [read_shard(space.artifacts.fetch(ref)) for ref in refs.values()]
