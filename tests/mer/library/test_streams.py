"""Features of every form that callers have become the same tables; what is none says what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.errors import ConfigError
from mer.library.streams import averaged_frames, rows_of, stream_tables
from mer.stream_tables import FeatureTable, RaggedTable

PLAIN = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize(
    "values",
    [
        PLAIN,
        PLAIN.astype(np.float64),
        PLAIN.astype(np.float16),
        PLAIN.astype(np.int64),
        torch.from_numpy(PLAIN),
        torch.from_numpy(PLAIN).requires_grad_(),
        torch.from_numpy(PLAIN).bfloat16(),
        pd.DataFrame(PLAIN),
        pd.DataFrame(PLAIN).astype(object),
        PLAIN.tolist(),
        list(PLAIN),
        tuple(torch.from_numpy(PLAIN)),
        PLAIN.astype(object),
        np.ma.masked_array(PLAIN),
        FeatureTable(("a", "b", "c", "d"), PLAIN, np.ones(4, dtype=bool)),
    ],
    ids=str,
)
def test_vectors_of_any_kind(values: Any) -> None:
    table = stream_tables({"acoustic": values})["acoustic"]
    assert isinstance(table, FeatureTable) and table.values.dtype == np.float32
    np.testing.assert_array_equal(table.values, PLAIN)
    assert table.present.all() and table.clip_ids == ("0", "1", "2", "3")


def test_rows_of_nan_none_and_masked_rows_are_missing() -> None:
    array = PLAIN.copy()
    array[1] = np.nan
    masked = np.ma.masked_array(PLAIN, mask=np.arange(4)[:, None] == [1, 1, 1])
    for values in (array, [PLAIN[0], None, PLAIN[2], PLAIN[3]], masked, pd.DataFrame(array)):
        table = stream_tables({"visual": values})["visual"]
        assert table.present.tolist() == [True, False, True, True]
        assert (table.values[1] == 0).all()


def test_frames_of_any_length() -> None:
    first, second = np.ones((3, 2)), np.full((2, 2), 5.0)
    second[1] = np.nan  # no face in that frame
    table = stream_tables(
        {"visual": [first, None, torch.from_numpy(second), np.full((2, 2), np.nan), np.zeros((0, 2))]}
    )["visual"]
    assert isinstance(table, RaggedTable)
    assert table.present.tolist() == [True, False, True, False, False]
    assert np.diff(table.offsets).tolist() == [3, 1, 1, 1, 1]
    np.testing.assert_array_equal(averaged_frames(table).values[:3], [[1, 1], [0, 0], [5, 5]])


def test_streams_whose_rows_are_in_another_order_are_refused() -> None:
    frames = pd.DataFrame(PLAIN, index=list("abcd"))
    assert stream_tables(
        {"a": frames, "b": PLAIN, "c": pd.DataFrame(PLAIN)}
    )  # an index of its own says nothing
    with pytest.raises(
        ConfigError, match=r"b: expected rows in the order of a, .* reorder them: b.loc\[a.index\]"
    ):
        stream_tables({"a": frames, "b": frames.iloc[::-1]})


def test_one_array_is_a_stream_of_its_own() -> None:
    assert list(stream_tables(PLAIN)) == ["features"]
    assert list(stream_tables(PLAIN, single="acoustic")) == ["acoustic"]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "at least one stream, found an empty mapping"),
        ({"a": PLAIN[:, 0]}, r"vectors of shape \(clips, features\), found \(4,\); one number a clip is `array\[:, None\]`"),
        ({"a": PLAIN[None]}, r"found an array of shape \(1, 4, 3\); frames .* as a list of arrays"),
        ({"a": PLAIN, "b": PLAIN[:3]}, "same clips in the same order, found a: 4, b: 3"),
        ({"a": np.where(np.eye(4, 3), np.nan, PLAIN)}, "found NaN or infinity among those of 3 clips, first clip 0"),
        ({"a": np.full((4, 3), np.inf)}, "found NaN or infinity among those of 4 clips"),
        ({"a": PLAIN.astype(str)}, "expected real numbers, found values of type <U"),
        ({"a": PLAIN + 1j}, "expected real numbers, found values of type complex"),
        ({"a": np.array([[{}, 1.0]], dtype=object)}, "expected real numbers, found dict"),
        ({"a": PLAIN.astype(np.float64) * 1e200}, "numbers within float32"),
        ({"a": [[1.0, 2.0], [3.0]]}, "expected 2 features in every clip, as in clip 0, found 1 in clip 1"),
        ({"a": [np.ones((2, 3)), np.ones(3)]}, "found items with 1 and 2 axes"),
        ({"a": [None, None]}, "at least one clip, found a list of 2 without any"),
        ({"a": [["x", "y"]]}, "stream a, clip 0: expected real numbers"),
        ({"a": PLAIN[:0]}, r"expected clips with features, found an array of shape \(0, 3\)"),
        ({"a": 3}, "expected an array, found int '3'"),
        ({"a": None}, "expected an array, found NoneType"),
        ({1: PLAIN}, "named `<modality>` or `<modality>/<set>`"),
        ({"a.b": PLAIN}, "found 'a.b'"),
        ({"a/b/c": PLAIN}, "found 'a/b/c'"),
        ({"values": PLAIN}, "found 'values'"),
    ],
)  # fmt: skip
def test_what_is_no_stream_says_what_was_expected(features: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stream_tables(features)


def test_a_sparse_matrix_says_how_it_becomes_one() -> None:
    from scipy.sparse import csr_matrix

    with pytest.raises(ConfigError, match="make it dense"):
        stream_tables({"lexical": csr_matrix(PLAIN)})


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(0, 4), min_size=1, max_size=8), data=st.data())
def test_rows_of_frames_are_those_of_the_clips(lengths: list[int], data: st.DataObject) -> None:
    items = [
        np.full((length, 2), row, dtype=np.float32) if length else None for row, length in enumerate(lengths)
    ]
    if not any(lengths):
        return
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=8))
    taken = rows_of(stream_tables({"a": items})["a"], np.array(rows))
    if not any(lengths[row] for row in rows):
        return
    expected = stream_tables({"a": [items[row] for row in rows]})["a"]
    assert isinstance(taken, RaggedTable) and isinstance(expected, RaggedTable)
    np.testing.assert_array_equal(taken.values, expected.values)
    np.testing.assert_array_equal(taken.offsets, expected.offsets)
    np.testing.assert_array_equal(taken.present, expected.present)
