"""The NOISE view of a corpus: who talks under whom, resolved to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from infra.catalogue import ClipRow
from mer.clips import NoisyMix, Split
from mer.features.spec import FeatureSpec
from tasks.stage.run import digest
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.quality.corruption import NoiseView, Talker


def noisy_key(space: Workspace, corpus: str, spec: FeatureSpec, key: str) -> str:
    """The feature key with those who may talk in it; the key itself for clean features."""
    if spec.noise is None:
        return key
    from mer.quality.corruption import pool_digest

    return digest({"features": key, "talkers": pool_digest(_pool(space.catalogue.clips(corpus)))})


def clip_noises(view: NoiseView, rows: Mapping[str, ClipRow], clip_ids: Sequence[str]) -> dict[str, NoisyMix]:
    """What each clip gets: labelled training clips of other speakers talk under it."""
    from mer.quality.corruption import Talker

    pool = _pool(list(rows.values()))
    mixes = {}
    for clip_id in clip_ids:
        drawn = view.draw(Talker(clip_id, rows[clip_id].speaker), pool)
        mixes[clip_id] = NoisyMix(noise=drawn, talkers=tuple(rows[talker].path for talker in drawn.talkers))
    return mixes


def _pool(rows: Sequence[ClipRow]) -> list[Talker]:
    """Labelled training clips with sound: what the noise of a clip is made of never comes from a test speaker's clip,
    and does not change when unlabelled clips arrive.
    """
    from mer.quality.corruption import Talker

    return [
        Talker(row.clip_id, row.speaker)
        for row in rows
        if row.has_audio and row.split == Split.TRAIN and row.emotion is not None
    ]
