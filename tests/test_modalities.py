"""No code asks for a modality's name but the rooms that know what a modality is."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
KNOW = ("mer/recipes", "mer/features", "mer/encoders", "mer/corpora", "mer/demo")
"""Rooms where a modality decides which options, readers, encoders and file names there are."""
NAMES = {"acoustic", "visual", "lexical"}


def conditions(text: str) -> list[int]:
    """Lines that compare with a modality's name, or look one up in a table by cases."""
    lines = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare):
            constants = {
                child.value
                for side in (node.left, *node.comparators)
                for child in ast.walk(side)
                if isinstance(child, ast.Constant) and isinstance(child.value, str)
            }
            if constants & NAMES:
                lines.append(node.lineno)
        if (
            isinstance(node, ast.MatchValue)
            and isinstance(node.value, ast.Constant)
            and node.value.value in NAMES
        ):
            lines.append(node.lineno)
    return lines


def test_conditions_are_found() -> None:
    assert conditions('if stream == "acoustic":\n    pass\nx = name in ("visual", "other")') == [1, 3]
    assert conditions('x = {"acoustic": 1}\ny = a == "speech"') == []


def test_no_condition_on_the_name_of_a_modality() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for package in ("mer", "tasks", "flows", "infra")
        for path in sorted((ROOT / package).rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith(KNOW)
        for line in conditions(path.read_text(encoding="utf-8"))
    }
    assert not found, f"stages treat every stream alike: {sorted(found)}"
