from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.errors import CorpusError
from mer.features.clip_feature import ClipFeature
from mer.features.dataset import assemble, assemble_ragged, ragged_of, table_of, table_rows
from mer.features.shard import INDEX, VALUES, read_shard, shard_of, write_shard


def feature(rows: int, seed: int, shape: tuple[int, ...] = (3, 4), dtype: str = "float32") -> ClipFeature:
    values = np.random.default_rng(seed).normal(size=(rows, *shape)) * 50
    return ClipFeature(values.astype(dtype), present=True, flags=("odd",) if seed % 2 else ())


def absent(shape: tuple[int, ...] = (3, 4), dtype: str = "float32") -> ClipFeature:
    return ClipFeature(np.zeros((1, *shape), dtype=dtype), present=False, flags=("no_audio", "x"))


def assert_same(found: ClipFeature, expected: ClipFeature) -> None:
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.values.dtype == expected.values.dtype
    assert (found.present, found.flags) == (expected.present, expected.flags)


@pytest.mark.parametrize(("shape", "dtype"), [((3, 4), "float32"), ((), "float32"), ((2, 2, 3), "uint8")])
def test_round_trip(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    features = [feature(2, 0, shape, dtype), absent(shape, dtype), feature(5, 1, shape, dtype)]
    write_shard(tmp_path, ["a", "b", "c"], features)
    assert {path.name for path in tmp_path.iterdir()} == {VALUES, INDEX}
    shard = read_shard(tmp_path)
    assert shard.clip_ids == ("a", "b", "c")
    for clip_id, expected in zip("abc", features, strict=True):
        assert_same(shard.get(clip_id), expected)
    with pytest.raises(KeyError):
        shard.get("d")


def test_same_features_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name, ["a", "b"], [feature(2, 0), absent()])
    for file in (VALUES, INDEX):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_absent_features_take_the_shape_of_present_ones(tmp_path: Path) -> None:
    write_shard(tmp_path, ["a", "b"], [absent((1,)), feature(1, 0)])
    found = read_shard(tmp_path).get("a")
    assert (found.values.shape, found.present) == ((1, 3, 4), False)


def test_features_of_two_shapes_are_refused(tmp_path: Path) -> None:
    for other in (feature(1, 1, (3, 5)), feature(1, 1, dtype="float64")):
        with pytest.raises(CorpusError, match="one shape"):
            write_shard(tmp_path, ["a", "b"], [feature(1, 0), other])
    with pytest.raises(ValueError, match="one feature per clip"):
        write_shard(tmp_path, ["a"], [])


@pytest.mark.parametrize("damage", ["no index", "no values", "cut values", "cut index", "other index"])
def test_damaged_shards_are_refused(tmp_path: Path, damage: str) -> None:
    write_shard(tmp_path, ["a", "b"], [feature(2, 0), feature(3, 1)])
    values, index = tmp_path / VALUES, tmp_path / INDEX
    if damage == "no index":
        index.unlink()
    elif damage == "no values":
        values.unlink()
    elif damage == "cut values":
        values.write_bytes(values.read_bytes()[:-4])
    elif damage == "cut index":
        index.write_bytes(index.read_bytes()[:-40])
    else:
        (tmp_path / "other").mkdir()
        write_shard(tmp_path / "other", ["a"], [feature(2, 0)])
        (tmp_path / "other" / INDEX).rename(index)
    with pytest.raises(CorpusError, match="feature shard"):
        read_shard(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_mask_their_clip_and_no_other(tmp_path: Path, value: float) -> None:
    overflowed = feature(2, 1)
    overflowed.values[1, 2, 3] = value
    write_shard(tmp_path, ["a", "b", "c"], [feature(2, 0), overflowed, feature(3, 2)])
    shard = read_shard(tmp_path)
    assert shard.present.tolist() == [True, False, True]
    assert shard.flags[1] == ("odd", "not_finite") and np.isfinite(shard.values).all()
    assert np.array_equal(shard.get("c").values, feature(3, 2).values)


def test_table_follows_the_order_asked_for() -> None:
    rows = {name: feature(1, seed) for seed, name in enumerate("abcde")} | {"f": absent()}
    shards = [shard_of(names, [rows[name] for name in names]) for names in ("bf", "ea", "cd")]
    table = assemble(shards, list("dafb"))
    assert table.clip_ids == tuple("dafb")
    assert table.present.tolist() == [True, True, False, True]
    for name, values in zip("dafb", table.values, strict=True):
        np.testing.assert_array_equal(values, rows[name].values[0])


def test_shard_of_absent_clips_does_not_fix_the_shape() -> None:
    guessed, known = shard_of(["a"], [absent((2,))]), shard_of(["b"], [feature(1, 0)])
    for shards in ([guessed, known], [known, guessed]):
        table = assemble(shards, ["a", "b"])
        assert table.values.shape == (2, 3, 4)
        assert not table.values[0].any()
        assert assemble_ragged(shards, ["b", "a"]).values.shape == (2, 3, 4)
    assert assemble([guessed], ["a"]).values.shape == (1, 2)


def test_incomplete_or_mixed_shards_are_refused() -> None:
    shards = [shard_of(["a"], [feature(1, 0)]), shard_of(["b"], [feature(1, 1, (2,))])]
    with pytest.raises(CorpusError, match=r"1 of 2 clips are in no shard, e\.g\. z"):
        assemble(shards[:1], ["a", "z"])
    with pytest.raises(CorpusError, match="differ in shape"):
        assemble(shards, ["a", "b"])
    with pytest.raises(ValueError, match="found frames"):
        assemble([shard_of(["a"], [feature(2, 0)])], ["a"])


@given(
    lengths=st.lists(st.integers(min_value=0, max_value=6), min_size=1, max_size=12),
    cuts=st.integers(min_value=1, max_value=5),
    order=st.randoms(use_true_random=False),
)
def test_ragged_table_holds_every_clip_whole(lengths: list[int], cuts: int, order: object) -> None:
    features = {
        f"clip{i}": feature(length, i, (2,)) if length else absent((2,)) for i, length in enumerate(lengths)
    }
    names = list(features)
    shards = [
        shard_of(names[begin : begin + cuts], [features[name] for name in names[begin : begin + cuts]])
        for begin in range(0, len(names), cuts)
    ]
    order.shuffle(names)  # type: ignore[attr-defined]
    table = assemble_ragged(shards, names)
    assert table.offsets[0] == 0
    assert table.offsets[-1] == len(table.values)
    width = (2,) if any(lengths) else table.values.shape[1:]
    for row, name in enumerate(names):
        values = table.values[table.offsets[row] : table.offsets[row + 1]]
        assert values.shape == (max(1, len(features[name].values)), *width)
        np.testing.assert_array_equal(values, features[name].values)
        assert table.present[row] == features[name].present


def test_tables_of_features_in_memory() -> None:
    features = [feature(1, 0), absent(), feature(1, 1)]
    table = table_of(["a", "b", "c"], features)
    assert table.values.shape == (3, 3, 4)
    again = table_of(["a", "b", "c"], table_rows(table))
    np.testing.assert_array_equal(again.values, table.values)
    np.testing.assert_array_equal(again.present, [True, False, True])
    ragged = ragged_of(["a", "b"], [feature(4, 0), absent()])
    assert ragged.offsets.tolist() == [0, 4, 5]
