"""What a worker takes, as a person says it; apart from what it means, so that `mer --help` loads nothing for it."""

from __future__ import annotations

from enum import StrEnum


class PoolChoice(StrEnum):
    """`--pool` of `mer worker`."""

    ALL = "all"
    GPU = "gpu"
    CPU = "cpu"
