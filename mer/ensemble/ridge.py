"""Ridge regression in a kernel's space, solved once for all targets, and what it says of clips that are left out.

    K' = K + bias + penalty * diag(1 / weight),   dual = K'^-1 y,   answer(x) = (k(x) + bias) dual

`bias` is a constant kernel: a constant term with a prior of that variance, so that no mean has to be subtracted. A clip of weight
2 is the clip twice. Left out together, a group G of clips is answered by what K'^-1 of all clips knows already (known: the block
form of the leave-one-out formula of ridge regression):

    y_G - answer_G = (K'^-1)_GG^-1 (K'^-1 y)_G

exactly what a fit without G answers, so one inverse serves any number of inner folds and the fit on all clips as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError

BIAS = 1.0
"""Variance of the constant term; the kernels themselves are 1 on their diagonal."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class LeftOut:
    """A fit on T clips, and its answers for each of them by a fit without the clip's group."""

    dual: Floats
    """(T, K)"""
    answers: Floats
    """(T, K)"""


def solve_ridge(kernel: Floats, target: Floats, weight: Floats, penalty: float, bias: float = BIAS) -> Floats:
    """(T, K) dual coefficients.

    Args:
        kernel: (T, T) positive semidefinite; not changed.
        target: (T, K).
        weight: (T,) positive.
        penalty: positive.
        bias: variance of the constant term; 0: none.
    """
    from scipy.linalg import cho_factor, cho_solve

    factor = cho_factor(
        _regularised(kernel, weight, penalty, bias), lower=True, overwrite_a=True, check_finite=False
    )
    return np.asarray(cho_solve(factor, target.astype(kernel.dtype), check_finite=False))


def leave_groups_out(
    kernel: Floats,
    target: Floats,
    weight: Floats,
    penalty: float,
    group: NDArray[np.int64],
    bias: float = BIAS,
) -> LeftOut:
    """The fit on all clips and the answers of the fits without each group; arguments as of `solve_ridge`.

    Args:
        kernel: (T, T).
        target: (T, K).
        weight: (T,).
        penalty: positive.
        group: (T,) number of each clip's group.
        bias: as of `solve_ridge`.

    Raises:
        ConfigError: the penalty is lost in rounding.
    """
    try:
        return _left_out(kernel, target, (weight, penalty, bias), group)
    except np.linalg.LinAlgError as error:
        if kernel.dtype == np.float64:
            raise ConfigError(
                f"ridge regression: expected a penalty that rounding does not swallow, found {penalty:g} with weights up to "
                f"{weight.max():g} of {len(kernel)} clips; name a larger penalty"
            ) from error
    return leave_groups_out(kernel.astype(np.float64), target, weight, penalty, group, bias)


def _left_out(
    kernel: Floats, target: Floats, ridge: tuple[Floats, float, float], group: NDArray[np.int64]
) -> LeftOut:
    from scipy.linalg import cho_factor, cho_solve, lapack

    values = target.astype(kernel.dtype)
    factor, _ = cho_factor(_regularised(kernel, *ridge), lower=True, overwrite_a=True, check_finite=False)
    dual = cho_solve((factor, True), values, check_finite=False)
    (invert,) = lapack.get_lapack_funcs(("potri",), (factor,))
    inverse, _ = invert(factor, lower=True, overwrite_c=True)  # its lower triangle
    answers = np.empty_like(values)
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)  # ascending: the lower triangle of the block is in that of all
        block = cho_factor(inverse[np.ix_(rows, rows)], lower=True, overwrite_a=True, check_finite=False)
        answers[rows] = values[rows] - cho_solve(block, dual[rows], check_finite=False)
    return LeftOut(np.asarray(dual), answers)


def _regularised(kernel: Floats, weight: Floats, penalty: float, bias: float) -> Floats:
    system = np.array(kernel, order="F", copy=True)
    system += np.asarray(bias, kernel.dtype)
    rows = np.arange(len(system))
    system[rows, rows] += (penalty / weight).astype(kernel.dtype)
    return system
