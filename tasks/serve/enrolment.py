"""A new speaker's own clips, without labels, before the other clips are answered; and what they changed, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from infra.objects.local_copies import local_paths
from mer.errors import CorpusError
from tasks.serve.predicted_media import Catalogued, read_media
from tasks.stage.compute import computing
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.domain.speakers import Enrolment
    from mer.predictor.predictor import Predictor, Scores


def enrolled_speaker(space: Workspace, predictor: Predictor, paths: Sequence[str]) -> Enrolment | None:
    """What the clips under the paths tell of their speaker; None where no paths are given.

    Raises:
        CorpusError: none of them can be read.
        ConfigError: the model does not know how its training speakers differ.
    """
    if not paths:
        return None
    media = read_media(local_paths(paths, space.settings), Catalogued(space))
    if not media.clips:
        reasons = "; ".join(f"{one.path}: {one.description}" for one in media.unusable[:3])
        raise CorpusError(f"speaker clips: expected clips that can be read, found none ({reasons})")
    with computing(space.settings):
        return predictor.enrol(media.clips)


def speaker_line(enrolled: Enrolment | None, scores: Scores, emotions: Sequence[str]) -> str:
    """How many answers the speaker's own clips change, and the share of each class before and after; empty without any."""
    if enrolled is None or scores.plain is None:
        return ""
    before, after = scores.plain.argmax(axis=1), scores.logits.argmax(axis=1)
    count = len(after)
    line = f"speaker: {enrolled.clips} clip{'' if enrolled.clips == 1 else 's'} read, "
    if not enrolled.offsets:
        return line + "of which nothing could be read that the model uses: answers are as without them"
    line += f"{int((before != after).sum())} of {count} answers are others than without them"
    shares = [
        f"{name} {(before == place).mean():.1%} -> {(after == place).mean():.1%}"
        for place, name in enumerate(emotions)
        if (before == place).sum() != (after == place).sum()
    ]
    return line + (f" ({', '.join(shares)})" if shares else "")
