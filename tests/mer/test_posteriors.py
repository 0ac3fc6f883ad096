from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from mer.errors import ConfigError
from mer.posteriors import Posteriors


def some(count: int, classes: int = 3, seed: int = 0, prefix: str = "c") -> Posteriors:
    rng = np.random.default_rng(seed)
    valence = rng.normal(size=count).astype(np.float32)
    valence[:1] = np.nan
    return Posteriors(
        tuple(f"{prefix}{i}" for i in range(count)),
        (50 * rng.normal(size=(count, classes))).astype(np.float32),
        valence,
    )


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_parquet_file_gives_back_every_bit(count: int) -> None:
    before = some(count)
    after = Posteriors.from_parquet(before.to_parquet())
    assert after.clip_ids == before.clip_ids
    assert after.logits.tobytes() == before.logits.tobytes() and after.logits.shape == before.logits.shape
    assert after.valence.tobytes() == before.valence.tobytes()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_probabilities_are_a_softmax(temperature: float) -> None:
    posteriors = some(9)
    expected = softmax(posteriors.logits.astype(np.float64) / temperature, axis=1)
    np.testing.assert_allclose(posteriors.probabilities(temperature), expected, atol=1e-12)


def test_restricted_keeps_the_order_asked_for() -> None:
    posteriors = some(5)
    part = posteriors.restricted(["c3", "c1"])
    assert part.clip_ids == ("c3", "c1") and np.array_equal(part.logits, posteriors.logits[[3, 1]])
    with pytest.raises(ConfigError, match="1 clips were not predicted, first 'x'"):
        posteriors.restricted(["c1", "x"])


def test_joined() -> None:
    first, second = some(3, seed=1), some(2, seed=2, prefix="d")
    assert Posteriors.joined([first, second]).clip_ids == ("c0", "c1", "c2", "d0", "d1")
    with pytest.raises(ConfigError, match="repeats"):
        Posteriors.joined([first, first])


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected logits"):
        Posteriors(("a",), np.zeros((2, 3), np.float32), np.zeros(1, np.float32))
