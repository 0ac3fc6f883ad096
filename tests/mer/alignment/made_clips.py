"""Clips whose truth is known: what face and voice share, and who speaks."""

from __future__ import annotations

import numpy as np

from mer.alignment.config import AlignmentConfig
from mer.alignment.groups import ClipGroups
from mer.alignment.paired_clips import PairedClips
from mer.alignment.study import StudiedClips

CONFIG = AlignmentConfig(
    embedding_size=16,
    hidden_size=32,
    epochs=15,
    batch_size=64,
    dropout=0.2,
    anchor_components=12,
    patience=5,
    standardise_anchor="none",  # so that who speaks shows
)
SPEAKERS, EACH = 12, 25


def made(shared: float, spoken: float, seed: int = 0, known: bool = True) -> StudiedClips:
    """300 clips of 12 speakers; `shared` directions between face and voice, `spoken` ones of the speaker alone.

    A speaker's voice is a fixed linear map of the speaker's face, so that it also leads on speakers never seen.
    """
    rng = np.random.default_rng(seed)
    count = SPEAKERS * EACH
    who = np.repeat(np.arange(SPEAKERS), EACH)
    person = rng.normal(size=(SPEAKERS, 4))[who]
    said = rng.normal(size=(count, 4))
    face = shared * said @ rng.normal(size=(4, 20)) + spoken * person @ rng.normal(size=(4, 20))
    voice = shared * said @ rng.normal(size=(4, 30)) + spoken * person @ rng.normal(size=(4, 30))
    names = [f"s{number}" if known else None for number in who]
    return StudiedClips(
        pairs=PairedClips(
            trained_values=(face + 0.2 * rng.normal(size=face.shape)).astype(np.float32),
            anchor_values=(voice + 0.2 * rng.normal(size=voice.shape)).astype(np.float32),
            train=who < 7,
            validation=(who >= 7) & (who < 9),
            groups=ClipGroups.of_speakers(names),
        ),
        emotion=np.where(rng.random(count) < 0.2, -1, (said[:, 0] > 0).astype(np.int64)),
        scored=who >= 9,
    )
