"""Feature extraction: what is missing, in shards, each committed by itself; new clips cost work only for themselves."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from prefect import task

from infra.artifacts import ArtifactRef
from infra.errors import ArtifactCorrupt, ArtifactMissing
from mer.clips import Clip
from mer.features.spec import FeatureSpec
from tasks.data.kept_extractor import kept_extractor
from tasks.data.noise import clip_noises, noisy_key
from tasks.stage.code_version import code_version
from tasks.stage.compute import computing
from tasks.stage.library_versions import library_versions
from tasks.stage.references import ExtractionPlan, FeatureSetRef, ShardPlan
from tasks.stage.run import StageResult, digest, lookup_verified
from tasks.stage.work_folder import alone_in, clear_if_abandoned
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.features.dataset import FeatureTable, RaggedTable
    from mer.features.extract import ClipFeature
    from mer.features.shard import Shard

SHARD_KIND = "features"
Item = TypeVar("Item")


@task(name="plan features")
def plan_features(
    corpus: str, specs: Mapping[str, FeatureSpec], clip_ids: Sequence[str], shard_clips: int
) -> ExtractionPlan:
    """Find which clips lack which of the features of `specs` (by name), and cut the work into shards.

    Features of one modality (of the same noise and transcripts) that the same clips lack are extracted together: one
    decoding, one pass per encoder.
    """
    space = workspace()
    features = {}
    for name, asked in specs.items():
        spec = asked.settled()  # planned here, extracted elsewhere: both must mean the same
        key = feature_key(space.weights, spec)
        features[name] = FeatureSetRef(
            stream=name, key=noisy_key(space, corpus, spec, key), spec=spec, corpus=corpus
        )
    lacking: dict[str, list[str]] = {}
    for name, wanted in features.items():
        for clip_id in representatives(space, wanted, clip_ids):
            lacking.setdefault(clip_id, []).append(name)
    groups: dict[tuple[str, ...], list[str]] = {}
    for clip_id in sorted(lacking):
        together: dict[object, list[str]] = {}
        for name in sorted(lacking[clip_id]):
            together.setdefault(_reads(specs[name]), []).append(name)
        for names in together.values():
            groups.setdefault(tuple(names), []).append(clip_id)
    shards = tuple(
        ShardPlan(features=tuple(features[name] for name in names), clip_ids=shard)
        for names, members in sorted(groups.items())
        for shard in cut(members, shard_clips)
    )
    return ExtractionPlan(features=features, shards=shards)


@task(name="extract shard", tags=["gpu"])
def extract_shard(corpus: str, shard: ShardPlan) -> StageResult:
    """Extract one shard of clips and register it; a clip whose stream turns out unusable becomes a masked, flagged row."""
    space = workspace()
    specs = tuple(wanted.spec for wanted in shard.features if wanted.spec is not None)
    if len(specs) < len(shard.features):
        raise ValueError(
            f"{[f.key for f in shard.features]}: derived features are computed by their own tasks"
        )
    found: list[Sequence[ClipFeature]] = []  # of all features, computed with the first that is not there

    def compute(place: int) -> list[ClipFeature]:
        if not found:
            found.extend(_extracted(space, corpus, shard.clip_ids, specs))
        return list(found[place])

    results = []
    for place, wanted in enumerate(shard.features):
        ids = list(content_ids(space, wanted, shard.clip_ids).values())
        code = extraction_code(space.weights, specs[place])
        results.append(commit_shard(space, wanted.key, ids, partial(compute, place), code))
    return StageResult(
        ref=results[0].ref,
        ran=any(result.ran for result in results),
        seconds=sum(result.seconds for result in results),
    )


def feature_key(weights: Path, spec: FeatureSpec) -> str:
    """Key of a feature set: what the spec says, and the code that extracts it. `weights` is the folder of weights."""
    from mer.encoders.weights import resolve_weights

    identity = resolve_weights(spec.source, weights).identity
    return digest({"feature": spec.key(identity), "code": extraction_code(weights, spec)})


def extraction_code(weights: Path, spec: FeatureSpec) -> str:
    """Version of the code that extracts a feature."""
    from mer.encoders.weights import resolve_weights
    from mer.features.readers import reader_implementations

    readers = reader_implementations(spec, resolve_weights(spec.source, weights))
    return code_version(_extracted, implementations=readers)


def _extracted(
    space: Workspace, corpus: str, clip_ids: Sequence[str], specs: tuple[FeatureSpec, ...]
) -> tuple[list[ClipFeature], ...]:
    from mer.features.extract import extract_clips_of_each

    clips = catalogued_clips(space, corpus, clip_ids, specs[0])
    return extract_clips_of_each(kept_extractor(specs, space.weights), clips)


def commit_shard(
    space: Workspace,
    feature_key: str,
    clip_ids: Sequence[str],
    compute: Callable[[], list[ClipFeature]],
    code: str = "",
) -> StageResult:
    """Compute, commit and register one shard, unless a verified one is there already (killed before registering).

    `code` is the version of the code that computes it, which is part of `feature_key` already.
    """
    from mer.features.shard import INDEX, VALUES, write_shard

    started = time.monotonic()
    key = digest({"features": feature_key, "clips": list(clip_ids)})
    folder = space.work / SHARD_KIND / key
    ref, ran, waited = lookup_verified(space, SHARD_KIND, key), False, 0.0
    if ref is not None:
        clear_if_abandoned(folder)
    else:
        with alone_in(folder):
            ref = space.artifacts.lookup(SHARD_KIND, key)  # another process may have been faster
            if ref is None:
                with computing(space.settings) as waited:
                    write_shard(folder, clip_ids, compute())
                files = {name: folder / name for name in (INDEX, VALUES)}
                ref, ran = space.artifacts.commit(SHARD_KIND, key, files, meta={"clips": len(clip_ids)}), True
                space.catalogue.record_artifact(
                    ref, stage=SHARD_KIND, code_version=code, libraries=library_versions()
                )
            shutil.rmtree(folder, ignore_errors=True)
    space.catalogue.register_features(feature_key, ref, list(clip_ids))
    return StageResult(ref=ref, ran=ran, seconds=time.monotonic() - started - waited)


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


def catalogued_clips(
    space: Workspace, corpus: str, clip_ids: Sequence[str], spec: FeatureSpec | None = None
) -> list[Clip]:
    """The catalogue's rows of these clips, as the extractor of `spec` sees them, in the order asked for."""
    recogniser = spec.recogniser if spec else None
    only = clip_ids if spec is None or spec.noise is None else None  # babble is made of other clips
    rows = {row.clip_id: row for row in space.catalogue.clips(corpus, recogniser, only)}
    root = space.catalogue.corpus_root(corpus)
    noise = clip_noises(spec.noise, rows, clip_ids) if spec is not None and spec.noise is not None else {}
    return [
        Clip(
            clip_id=clip_id,
            name=rows[clip_id].name,
            path=rows[clip_id].path,
            corpus_root=root,
            transcript=rows[clip_id].transcript,
            noise=noise.get(clip_id),
        )
        for clip_id in clip_ids
    ]


def content_ids(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> dict[str, str]:
    """What the features of each clip are a function of: its media, its feature file, or for text features its transcript.

    A changed transcript or file is another content, and clips that say the same share one row.
    """
    if features.derived_from is not None:
        return content_ids(space, features.derived_from, clip_ids)
    spec = features.spec
    if spec is None or features.corpus is None or not (spec.precomputed or spec.modality == "lexical"):
        return {clip_id: clip_id for clip_id in clip_ids}
    rows = space.catalogue.clips(features.corpus, spec.recogniser, clip_ids)
    if spec.precomputed:
        from mer.features.precomputed_content import precomputed_contents

        names = {row.clip_id: row.name for row in rows}
        root = space.catalogue.corpus_root(features.corpus)
        found = precomputed_contents(root, spec.source, [names[clip_id] for clip_id in clip_ids])
        return {
            clip_id: own or digest({"no file": clip_id}) for clip_id, own in zip(clip_ids, found, strict=True)
        }
    texts = {row.clip_id: row.transcript for row in rows}
    return {clip_id: digest({"transcript": texts[clip_id]}) for clip_id in clip_ids}


def content_digest(features: FeatureSetRef, clip_ids: Sequence[str]) -> str | None:
    """Digest of the contents behind these clips' features; None where the clip ids say it all."""
    ids = content_ids(workspace(), features, clip_ids)
    return None if all(clip_id == content for clip_id, content in ids.items()) else digest(ids)


def feature_table(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> FeatureTable:
    """Utterance-level features of these clips, read through verified shards: values (clips, ...), present (clips,)."""
    from mer.features.dataset import assemble

    ids = list(content_ids(space, features, clip_ids).values())
    return replace(assemble(_shards(space, features, ids), ids), clip_ids=tuple(clip_ids))


def frame_table(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> RaggedTable:
    """Framewise features of these clips, concatenated over time with offsets."""
    from mer.features.dataset import assemble_ragged

    ids = list(content_ids(space, features, clip_ids).values())
    return replace(assemble_ragged(_shards(space, features, ids), ids), clip_ids=tuple(clip_ids))


def _reads(spec: FeatureSpec) -> tuple[object, ...]:
    """What an extractor must be shown of a clip: features that differ in it are not extracted together.

    Nor are takes of a clip's sound: each is a pass of its own, and an extractor of several would hold an encoder for each.
    """
    return spec.modality, spec.noise, spec.recogniser, spec.audio.speed, spec.audio.augmented


def representatives(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> list[str]:
    """One clip for every content that lacks the features."""
    ids = content_ids(space, features, sorted(clip_ids))
    first = {content: clip_id for clip_id, content in reversed(ids.items())}
    return [first[content] for content in missing_clips(space, features.key, list(first))]


def _shards(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> list[Shard]:
    from mer.features.shard import read_shard

    have = space.catalogue.features_of(features.key, list(clip_ids))
    if absent := len(set(clip_ids) - set(have)):
        raise ArtifactMissing(
            f"{features.stream} features {features.key[:12]}: {absent} clips are not extracted yet"
        )
    refs: dict[str, ArtifactRef] = {ref.key: ref for ref in have.values()}
    return [read_shard(space.artifacts.fetch(ref)) for ref in refs.values()]
