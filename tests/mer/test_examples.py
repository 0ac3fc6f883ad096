"""Contents travel with their clips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mer.errors import ConfigError
from mer.examples import Examples


def _examples(**more: tuple[str, ...]) -> Examples:
    return Examples(
        clip_ids=("a", "b", "c"),
        emotion=np.array([0, 1, -1]),
        valence=np.zeros(3, np.float32),
        speaker=(None, "s", "s"),
        fold=np.zeros(3, np.int64),
        weight=np.ones(3, np.float32),
        **more,
    )


def test_contents_follow_subsets_and_replacements() -> None:
    examples = _examples(content=("x", "", "y"))
    assert examples.subset(np.array([2, 0])).content == ("y", "x")
    assert replace(examples, emotion=np.array([1, 1, 1])).content == ("x", "", "y")
    assert [examples.content_of(row) for row in range(3)] == ["x", "", "y"]


def test_no_contents_at_all_are_unknown_contents() -> None:
    assert _examples().subset(np.array([1])).content == ()
    assert _examples().content_of(1) == ""


def test_a_content_for_some_clips_only_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 3 contents, or none, found 2"):
        _examples(content=("x", "y"))
    with pytest.raises(ConfigError, match="found 2"):
        replace(_examples(), content=("x", "y"))
