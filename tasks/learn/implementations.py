"""What code a choice of system runs, for the keys of the stages that fit it or answer with it."""

from __future__ import annotations

from mer.fusion.registry import fusion_implementations
from mer.recipes.members import NEURAL
from mer.systems.choice import SystemChoice
from mer.systems.kinds import kind_implementations


def choice_implementations(choice: SystemChoice) -> tuple[str, ...]:
    """`module:attribute` of the choice's kind, and of the fusion model that a neural one names."""
    kinds = kind_implementations(choice.kind)
    return (*kinds, *fusion_implementations(choice.options["model"])) if choice.kind == NEURAL else kinds
