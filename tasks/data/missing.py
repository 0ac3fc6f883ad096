"""Missing features, counted once for a whole set: what a person should know of it before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect import task

from mer.errors import CorpusError
from mer.training.feasibility import LEAST_CLIPS
from tasks.data.features import content_ids
from tasks.stage.references import FeatureSetRef
from tasks.stage.workspace import Workspace, workspace


@task(name="count missing features")
def count_missing(features: Mapping[str, FeatureSetRef], clip_ids: Sequence[str]) -> list[str]:
    """A line for every feature set of which these clips lack some, sets that lack the same on one line.

    Clips count, however many share a content.
    """
    from mer.features.missing import missing_counts

    space = workspace()
    names: dict[str, list[str]] = {}
    for name in sorted(features):
        counts = missing_counts(*presence(space, features[name], clip_ids))
        if counts is not None:
            names.setdefault(counts, []).append(name)
    return [f"{', '.join(sets)}: {counts}" for counts, sets in names.items()]


@task(name="find absent streams")
def absent_streams(features: Mapping[str, FeatureSetRef], clip_ids: Sequence[str]) -> dict[str, int]:
    """Streams that too few clips have for anything to be learnt of them -> how many have them."""
    space = workspace()
    present = {name: sum(presence(space, item, clip_ids)[0]) for name, item in features.items()}
    return {name: count for name, count in present.items() if count < LEAST_CLIPS}


@task(name="require feature files")
def require_feature_files(features: Mapping[str, FeatureSetRef], clip_ids: Sequence[str]) -> None:
    """Refuse precomputed features that no clip has: their folder's name is misspelt.

    Raises:
        CorpusError: names the stream, and its folder.
    """
    space = workspace()
    for name, item in features.items():
        if item.spec is None or not item.spec.precomputed or item.corpus is None or not clip_ids:
            continue
        if not any(presence(space, item, clip_ids)[0]):
            raise CorpusError(
                f"stream {name}: expected feature files of the clips in {item.spec.source} (a folder below features/ of "
                f"{space.catalogue.corpus_root(item.corpus)}), found none for all {len(clip_ids)} clips; name the folder that "
                "they lie in, or leave the stream out"
            )


def presence(
    space: Workspace, features: FeatureSetRef, clip_ids: Sequence[str]
) -> tuple[list[bool], list[tuple[str, ...]]]:
    """Whether each clip's features are there, and their flags, out of the indices of the shards."""
    from mer.features.shard import INDEX, presence_in

    contents = content_ids(space, features, clip_ids)
    shards = {
        ref.key: ref for ref in space.catalogue.features_of(features.key, list(contents.values())).values()
    }
    known: dict[str, tuple[bool, tuple[str, ...]]] = {}
    for ref in shards.values():
        known |= presence_in(space.artifacts.read(ref, INDEX))
    rows = [known[contents[clip_id]] for clip_id in clip_ids]
    return [present for present, _ in rows], [flags for _, flags in rows]
