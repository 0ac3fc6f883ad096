"""A shard of features as whoever watches sees it: which it is, how it ended, how many clips it had."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tasks.stage.observed import observed_stage
from tasks.stage.references import FeatureSetRef
from tasks.stage.run import StageResult, digest


def observed_shard(
    features: FeatureSetRef, contents: Sequence[str], extract: Callable[[], StageResult]
) -> StageResult:
    """What `extract` returns: the shard of these contents. Events inside name stream and shard; raises what it raises."""
    shard = digest({"features": features.key, "clips": list(contents)})[:12]
    with observed_stage("features", f"features of {features.stream}", None, shard) as seen:
        result = extract()
        seen.clips, seen.stream = len(contents), features.stream
        seen.ended(ran=result.ran, seconds=result.seconds)
    return result
