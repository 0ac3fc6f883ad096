from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.alignment.groups import ClipGroups, deranged, in_runs, standardised_within
from mer.errors import ConfigError

NAMES = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=2, max_size=40)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codes_of(names: list[str | None]) -> torch.Tensor:
    return torch.from_numpy(ClipGroups.of_speakers(names).codes("speaker"))


def test_unknown_groups_are_no_group() -> None:
    groups = ClipGroups(("b", None, "a", "b"), (None, None, "film", "film"))
    assert groups.codes("speaker").tolist() == [1, -1, 0, 1]
    assert groups.codes("source").tolist() == [-1, -1, 0, 0]
    assert groups.subset(np.array([3, 1])).speaker == ("b", None)
    with pytest.raises(ConfigError, match="2 speakers, 1 sources"):
        ClipGroups(("a", "b"), ("c",))


def test_standardising_removes_who_speaks_and_keeps_what_differs_within() -> None:
    rng = np.random.default_rng(0)
    said = rng.normal(size=(30, 3))
    values = np.concatenate([said * 2 + 50, said * 5 - 7, said[:10]]).astype(np.float32)
    codes = np.repeat([0, 1, -1], [30, 30, 10])
    result = standardised_within(values, codes)
    np.testing.assert_allclose(result[:30], result[30:60], atol=1e-4)
    np.testing.assert_allclose(result[:30].std(axis=0), 1.0, rtol=1e-4)
    all_clips = (values[60:] - values.mean(axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(result[60:], all_clips, atol=1e-4)  # unknown: statistics of all
    few = standardised_within(values[:40], np.repeat([0, 1], [33, 7]))
    np.testing.assert_allclose(
        few[33:], ((values[:40] - values[:40].mean(0)) / values[:40].std(0))[33:], atol=1e-4
    )


@settings(max_examples=60, deadline=None)
@given(names=NAMES, seed=st.integers(0, 99), length=st.integers(2, 6))
def test_runs_are_of_one_group_and_lose_no_clip(names: list[str | None], seed: int, length: int) -> None:
    rows = torch.arange(len(names))
    order = in_runs(rows, codes_of(names), length, generator(seed))
    assert sorted(order.tolist()) == rows.tolist()
    known = {name: names.count(name) for name in set(names) if name is not None}
    changes = sum(names[i] != names[j] for i, j in zip(order[:-1].tolist(), order[1:].tolist(), strict=True))
    most_runs = sum(-(-count // length) for count in known.values()) + names.count(None)
    assert changes < most_runs


def test_a_batch_of_runs_has_far_more_clips_of_the_same_speaker() -> None:
    codes = torch.arange(400) % 20
    plain, runs = (
        torch.randperm(400, generator=generator()),
        in_runs(torch.arange(400), codes, 16, generator()),
    )

    def same(order: torch.Tensor) -> float:
        batches = [codes[batch] for batch in torch.split(order, 32)]
        return float(np.mean([(one[:, None] == one).float().mean() for one in batches]))

    assert same(plain) < 0.1 < 0.3 < same(runs)


@settings(max_examples=60, deadline=None)
@given(names=NAMES, seed=st.integers(0, 99), within=st.booleans())
def test_every_clip_gets_anothers_sound(names: list[str | None], seed: int, within: bool) -> None:
    rows = torch.arange(len(names)) + 5
    codes = torch.cat([torch.full((5,), -1), codes_of(names)])
    partner = deranged(rows, generator(seed), codes if within else None)
    assert sorted(partner.tolist()) == rows.tolist()
    assert not (partner == rows).any()
    if within:
        for row, other in zip(rows.tolist(), partner.tolist(), strict=True):
            name = names[row - 5]
            if name is not None and names.count(name) > 1 and names.count(None) != 1:
                alone = [one for one in set(names) if one is not None and names.count(one) == 1]
                assert names[other - 5] == name or (len(alone) == 1 and names.count(None) == 0)


def test_partners_differ_from_seed_to_seed() -> None:
    rows = torch.arange(20)
    assert not torch.equal(deranged(rows, generator(1)), deranged(rows, generator(2)))
