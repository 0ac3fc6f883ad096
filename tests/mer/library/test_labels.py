"""Labels as callers have them: strings, numbers, pandas, soft ones; what is missing, and what is wrong."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mer.errors import ConfigError
from mer.library.labels import read_examples, read_labels


def test_polarity_is_not_left_out_unsaid() -> None:
    with pytest.warns(UserWarning, match="-1 stands for no label, and 2 of 5 values are -1 beside 0 and 1"):
        assert read_labels([-1, 0, 1, -1, None], 5).classes.tolist() == [0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_labels([None, 0, 1], 3)
        read_labels([-1, 0, 1, 2], 4)
        read_labels([-1, 0, 1], 3, classes=[0, 1])


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["b", "a", None, "b", ""], ["a", "b"]),
        (np.array(["b", "a", "", "b", " "]), ["a", "b"]),
        (pd.Series(["b", "a", None, "b", np.nan]), ["a", "b"]),
        (pd.Series(["b", "a", None, "b", None], dtype="category"), ["a", "b"]),
        (pd.DataFrame({"emotion": ["b", "a", None, "b", None]}), ["a", "b"]),
        ([7, 3, -1, 7, -1], [3, 7]),
        (np.array([7, 3, -1, 7, -1], dtype=np.int32), [3, 7]),
        (torch.tensor([7, 3, -1, 7, -1]), [3, 7]),
        (pd.Series([7, 3, None, 7, None]), [3, 7]),
        (pd.Series([7, 3, None, 7, None], dtype="Int64"), [3, 7]),
        ([True, False, None, True, None], [0, 1]),
    ],
    ids=str,
)
def test_labels_of_any_kind(labels: Any, classes: list[Any]) -> None:
    read = read_labels(labels, 5)
    assert read.classes.tolist() == classes
    assert read.index.tolist() == [1, 0, -1, 1, -1]


def test_classes_that_are_given_keep_their_order() -> None:
    read = read_labels(["sad", "happy", None], 3, ["sad", "angry", "happy"])
    assert read.index.tolist() == [0, 2, -1]


def test_soft_labels() -> None:
    soft = np.array([[0.25, 0.75], [1, 0], [np.nan, np.nan]])
    read = read_labels(soft, 3, ["calm", "tense"])
    assert read.index.tolist() == [1, 0, -1]
    assert read.target is not None
    np.testing.assert_allclose(read.target[:2], soft[:2])
    named = read_labels(pd.DataFrame(soft, columns=["calm", "tense"]), 3)
    assert named.classes.tolist() == ["calm", "tense"]


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (["a", "a", None], None, r"at least 2 classes, found 1 \(\['a'\]\) among 3 clips; -1"),
        ([-1, 1, 1], None, "found 1 .* -1, None, NaN and blank text are unlabelled"),
        ([None, None, None], None, "at least 2 classes, found 0"),
        (["a", "b"], None, "expected 3 values, one per clip, found 2"),
        (["a", 1, "b"], None, "strings or whole numbers, found both"),
        ([0.5, 1.0, 2.0], None, "strings or whole numbers, found float64 .0.5"),
        ([("a", "b"), ("b", "c"), ("c", "d")], None, "labels: expected real numbers"),
        (np.zeros((3, 2, 2)), None, r"one value per clip, shape \(3,\), found shape \(3, 2, 2\)"),
        (["a", "b", "x"], ["a", "b"], r"members of classes \['a', 'b'\], found also \['x'\]"),
        (["a", "b", "a"], ["a"], "at least 2 distinct names"),
        (["a", "b", "a"], ["a", "a"], "at least 2 distinct names"),
        (["a", "b", "a"], "ab", "a list of class names, found 'ab'"),
        (np.full((3, 2), 0.5), None, r"expected the names of their columns too: Fusion\(classes="),
        (np.full((3, 2), 0.4), ["a", "b"], "sum to 1, or rows of NaN, found 3 others, first clip 0"),
        (np.full((2, 2), 0.5), ["a", "b"], "expected 3 rows, one per clip, found 2"),
        (np.full((3, 2), 0.5), ["a", "b", "c"], "expected 3 columns, one per class, found 2"),
    ],
)
def test_wrong_labels_say_what_was_expected(labels: Any, classes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_labels(labels, 3, classes)


def test_speakers_weights_and_valence() -> None:
    read = read_labels(["a", "b", None], 3)
    examples = read_examples(
        read, pd.Series([4, np.nan, 5]), [1, 0.5, 0], torch.tensor([1.0, -2.0, float("nan")])
    )
    assert examples.speaker == ("4.0", None, "5.0")
    assert examples.weight.tolist() == [1, 0.5, 0]
    assert examples.valence[1] == -2 and np.isnan(examples.valence[2])
    for wrong, message in (
        ({"speakers": ["x"]}, "speakers: expected 3 values"),
        ({"speakers": None, "weights": [1, -1, 1]}, "weights: expected finite numbers of 0 or more"),
        ({"speakers": None, "weights": [1, np.nan, 1]}, "weights: expected finite numbers"),
        ({"speakers": None, "valence": [1, np.inf, 1]}, "valence: expected finite numbers"),
        ({"speakers": None, "valence": ["low", "high", ""]}, "valence: expected real numbers"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_examples(read, **wrong)
