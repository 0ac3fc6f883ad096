"""The code version follows statements, not words about them."""

from __future__ import annotations

import ast

from tasks.stage.code_version import _tree_without_docstrings, code_version


def test_docstrings_comments_and_layout_do_not_count() -> None:
    plain = "def f(x):\n    return x + 1\n"
    spoken = '"""Module."""\n\n\ndef f(x):\n    """Add one."""\n    # really\n    return (x + 1)\n'
    assert _tree_without_docstrings(plain) == _tree_without_docstrings(spoken)


def test_statements_count() -> None:
    assert _tree_without_docstrings("a = 1") != _tree_without_docstrings("a = 2")
    assert ast.parse("a = 1")


def test_a_version_is_stable_and_particular() -> None:
    assert code_version("mer.fusion") == code_version("mer.fusion")
    assert code_version("mer.fusion") != code_version("mer.ensemble")
    assert code_version("mer.fusion", "mer.ensemble") == code_version("mer.ensemble", "mer.fusion")
