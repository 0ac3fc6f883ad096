"""A fit that can be killed: where its finished epochs are kept, and who is told of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mer.training.checkpoint import Checkpoint

Progress = Callable[[int, int], None]
"""Called with (epochs done, epochs in all)."""


@dataclass(frozen=True)
class Resumable:
    """The checkpoint of a fit, and its progress."""

    checkpoint: Checkpoint | None = None
    """Where every finished epoch is kept; one that is there is gone on from, to the same bits. None: none is kept."""
    progress: Progress | None = None
    """Called after every epoch, when its checkpoint is on disk."""


ONCE = Resumable()
"""A fit that starts at its first epoch, keeps no checkpoint and tells nobody."""
