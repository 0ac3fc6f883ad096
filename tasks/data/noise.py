"""The NOISE view of a corpus: who talks under whom, resolved to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from infra.catalogue import ClipRow
from mer.clips import NoisyMix, Split
from mer.features.spec import FeatureSpec
from tasks.data.equal_contents import equal_contents, with_settled_labels
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


def noisy_contents(rows: Sequence[ClipRow]) -> dict[str, str]:
    """Content id of each clip's noisy features: digest of its content and its speaker, who is never a talker in its noise."""
    return {row.name: digest({"content": row.content, "speaker": row.speaker}) for row in rows}


def clip_noises(view: NoiseView, rows: Mapping[str, ClipRow], names: Sequence[str]) -> dict[str, NoisyMix]:
    """Noise of each clip by name: babble of labelled training clips of other speakers."""
    from mer.quality.corruption import Talker

    pool = _pool(list(rows.values()))
    paths = {row.content: row.path for row in rows.values()}
    mixes = {}
    for name in names:
        drawn = view.draw(Talker(rows[name].content, rows[name].speaker), pool)
        mixes[name] = NoisyMix(noise=drawn, talkers=tuple(paths[talker] for talker in drawn.talkers))
    return mixes


def _pool(rows: Sequence[ClipRow]) -> list[Talker]:
    """Labelled training clips with sound: what the noise of a clip is made of never comes from a test speaker's clip (nor from
    its content under another name), and does not change when unlabelled clips arrive.
    """
    from mer.quality.corruption import Talker

    equal = equal_contents(rows)
    return [
        Talker(row.content, row.speaker)
        for row in with_settled_labels(rows, equal)
        if row.has_audio
        and row.split == Split.TRAIN
        and row.emotion is not None
        and row.name not in equal.not_trained
    ]
