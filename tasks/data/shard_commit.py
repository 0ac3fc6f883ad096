"""A shard of features computed, committed and registered by itself: what a killed extraction loses at most."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from infra.artifacts import ArtifactRef, Scalar
from infra.errors import ArtifactCorrupt, ArtifactMissing
from mer.errors import MediaError, QuarantineReason
from tasks.data.passing_failures import RUNS, failed_too_often
from tasks.stage.compute import computing
from tasks.stage.finding import commit, lookup_used, lookup_verified
from tasks.stage.library_versions import library_versions
from tasks.stage.looking import is_looking
from tasks.stage.run import StageResult, digest
from tasks.stage.work_folder import alone_in, clear_if_abandoned
from tasks.stage.work_record import WorkRecord, describe_work
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.features.clip_feature import ClipFeature

SHARD_KIND = "features"
_SHOWN = 5
"""Clips that a message names."""


def commit_shard(
    space: Workspace,
    feature_key: str,
    contents: Sequence[str],
    compute: Callable[[], list[ClipFeature]],
    code: str = "",
    facts: Callable[[], Mapping[str, str]] = dict,
    names: Mapping[str, str] | None = None,
) -> StageResult:
    """Compute, commit and register a shard of these contents, unless a verified one is there (killed before registering).

    `code` is the version of the code that computes it, which is part of `feature_key` already. `facts` is asked after
    `compute`: what the shard was computed in, kept beside it (see `tasks.data.arithmetic`). `names`: content -> clip, for
    messages.

    Raises:
        MediaError: transient: features that are absent for a reason that passes are not kept, unless it does not pass (see
            `tasks.data.passing_failures`); the others are, in a shard of their own.
    """
    from mer.features.shard import INDEX, VALUES, write_shard

    started = time.monotonic()
    passing: list[str] = []
    key = digest({"features": feature_key, "clips": list(contents)})
    folder = space.work / SHARD_KIND / key
    ref, ran, waited = lookup_verified(space, SHARD_KIND, key), False, 0.0
    if ref is not None:
        clear_if_abandoned(folder)
    else:
        with alone_in(folder):
            ref = lookup_used(space, SHARD_KIND, key)  # another process may have been faster
            if ref is None:
                describe_work(folder, WorkRecord.of(SHARD_KIND, None, code))
                with computing(space.settings) as waited:
                    features = compute()
                given_up = _given_up(space, feature_key, contents, features, names or {})
                contents, features, passing = _settled(contents, features, given_up, names or {})
                if not contents:
                    raise _tried_again(passing)
                settled: dict[str, object] = {"features": feature_key, "clips": list(contents)}
                key = digest(settled | ({"given up": sorted(given_up)} if given_up else {}))
                write_shard(folder, contents, features)
                files = {name: folder / name for name in (INDEX, VALUES)}
                meta: dict[str, Scalar] = {"clips": len(contents), **facts()}
                made_by = code, library_versions()
                ref, ran = commit(space, (SHARD_KIND, key), files, meta, made_by), True
            shutil.rmtree(folder, ignore_errors=True)
    space.catalogue.register_features(feature_key, ref, list(contents))
    if passing:
        raise _tried_again(passing)
    return StageResult(ref=ref, ran=ran, seconds=time.monotonic() - started - waited)


def _given_up(
    space: Workspace,
    feature_key: str,
    contents: Sequence[str],
    features: Sequence[ClipFeature],
    names: Mapping[str, str],
) -> frozenset[str]:
    """Contents whose failure does not pass; says which clips these are."""
    reasons = {content: one.flags for content, one in zip(contents, features, strict=True) if one.transient}
    given_up = failed_too_often(space.settings.home, feature_key, list(reasons), len(contents))
    for content in sorted(given_up):
        logging.getLogger(__name__).warning(
            "clip %r is masked from now on (%s): it could not be decoded in %d runs; give its file in another form (shorter, "
            "smaller, on a disk that answers), which is another content, and is read",
            _name(content, names), " ".join(reasons[content]), RUNS, extra={"clip": _name(content, names)},
        )  # fmt: skip
    return given_up


def _settled(
    contents: Sequence[str],
    features: Sequence[ClipFeature],
    given_up: Collection[str],
    names: Mapping[str, str],
) -> tuple[list[str], list[ClipFeature], list[str]]:
    """Contents and features that say something of the clip; and of those that only say something of this moment, clip and
    reason.
    """
    pairs = list(zip(contents, features, strict=True))
    passing = {content for content, one in pairs if one.transient} - set(given_up)
    return (
        [content for content in contents if content not in passing],
        [replace(one, transient=False) for content, one in pairs if content not in passing],
        [
            f"{_name(content, names)!r} ({' '.join(one.flags)})"
            for content, one in pairs
            if content in passing
        ],
    )


def _name(content: str, names: Mapping[str, str]) -> str:
    return names.get(content, content[:12])


def _tried_again(passing: Sequence[str]) -> MediaError:
    shown = ", ".join(passing[:_SHOWN]) + (", ..." if len(passing) > _SHOWN else "")
    return MediaError(
        QuarantineReason.TIMED_OUT,
        f"{len(passing)} clips could not be decoded now: {shown}; for a reason that passes: a busy machine, too little memory, a "
        "disk that did not answer, a decoder that was ended. The others are kept; run again (a clip that fails so in "
        f"{RUNS} runs is left out)",
        transient=True,
    )


def is_sound(space: Workspace, shard: ArtifactRef) -> bool:
    """Whether every byte of a shard is as it was written; one that is not is forgotten, so that it is computed again."""
    if is_looking():
        return True
    try:
        space.artifacts.verify(shard)
    except (ArtifactCorrupt, ArtifactMissing) as error:
        logging.getLogger(__name__).warning("feature shard %s is computed again: %s", shard.key[:12], error)
        space.catalogue.forget_shard(shard)
        space.artifacts.discard(shard)
        return False
    return True
