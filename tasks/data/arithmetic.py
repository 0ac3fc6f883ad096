"""What feature sets were computed in: shards of bf16 and fp32 may stand in one set, and this says where they do.

The rule. The arithmetic an encoder runs in is settled where it runs, not where its work is planned, so the shards of one set
may differ: bf16 that was proved equal to fp32 but for rounding (`mer.encoders.bf16_proof`), fp32 where it was not. Both count
as the same feature, under one key. int8 never mixes, nor does a set that asks for fp32: their keys are their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.data.features import content_ids
from tasks.stage.references import FeatureSetRef
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from infra.artifacts import ArtifactRef

UNKNOWN = "not recorded"
"""Arithmetic of shards written before it was recorded, and of what no encoder computes (crops, feature files)."""


@dataclass(frozen=True)
class MixedSet:
    """A feature set whose shards were computed in more than one arithmetic, or on more than one kind of processor."""

    key: str
    shards: dict[str, int]
    """`bf16 on <processor>` -> shards."""


def mixed_sets(space: Workspace) -> list[MixedSet]:
    """Feature sets that are mixed, by key; shards of which nothing is recorded mix with nothing."""
    sets: dict[str, Counter[str]] = {}
    for key, ref in space.catalogue.feature_shards():
        if arithmetic_of(ref) != UNKNOWN:
            name = f"{arithmetic_of(ref)} on {ref.meta.get('processor', 'an unknown processor')}"
            sets.setdefault(key, Counter())[name] += 1
    return [
        MixedSet(key, dict(sorted(counts.items()))) for key, counts in sorted(sets.items()) if len(counts) > 1
    ]


def arithmetic_of(shard: ArtifactRef) -> str:
    """`fp32`, `bf16`, `bf16 unproved`, `int8`, or `UNKNOWN`."""
    return str(shard.meta.get("arithmetic", UNKNOWN))


def read_in(space: Workspace, sources: Sequence[FeatureSetRef], clip_ids: Sequence[str]) -> str:
    """Arithmetics of the shards that a derived shard of these clips is computed from, `bf16 + fp32` say."""
    arithmetics = set()
    for features in sources:
        ids = list(content_ids(space, features, clip_ids).values())
        arithmetics |= {arithmetic_of(ref) for ref in space.catalogue.features_of(features.key, ids).values()}
    return " + ".join(sorted(arithmetics))
