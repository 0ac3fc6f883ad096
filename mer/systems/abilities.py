"""What a kind of system can do, and the one refusal where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mer.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a kind can do beyond fitting on hard labels of clips that have every stream."""

    warm_start: bool
    """Go on from a fitted system of its kind."""
    soft_targets: bool
    """Learn distributions over classes in place of labels."""
    missing_streams: bool
    """Learn from and answer for clips that lack streams."""
    export: bool
    """Its answers are one graph of tensor operations, which `torch.export` can write for another runtime."""

    def __and__(self, other: Abilities) -> Abilities:
        """What both can do."""
        return Abilities(**{name: getattr(self, name) and getattr(other, name) for name in ABILITIES})


ABILITIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "warm_start": ("going on from a fitted system", "leave out the start, and it is fitted from scratch"),
        "soft_targets": ("soft targets", "give hard labels only (the likeliest class of every clip)"),
        "missing_streams": (
            "missing streams",
            "leave out clips that lack a stream, or streams that clips lack",
        ),
        "export": ("export", "serve it with this package instead"),
    }
)
"""Ability -> what it is called in a refusal, and what to do without it."""


def require_abilities(kind: str, abilities: Abilities, needed: Mapping[str, str]) -> None:
    """Refuse what a kind of system cannot do.

    Args:
        kind: name of the kind.
        abilities: what it can do.
        needed: ability -> what was found that needs it, in words.

    Raises:
        ConfigError: abilities that are needed and that the kind lacks: all of them in one message.
    """
    lacking = [name for name in needed if not getattr(abilities, name)]
    if not lacking:
        return
    refusals = "; ".join(
        f"expected nothing that needs {ABILITIES[name][0]}, found {needed[name]}: {ABILITIES[name][1]}, or choose a kind "
        f"with the ability `{name}`"
        for name in lacking
    )
    raise ConfigError(f"system of kind {kind!r}: {refusals}")
