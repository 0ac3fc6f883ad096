"""What a search may choose from, and in which order: the written list, fixed before any test fold was scored with it.

All choices are made on inner folds of the clips that are learnt from, whole speakers each, by the likelihood of the clips' labels
at the temperature that suits them; kernel machines answer all inner folds exactly from one inverse (`mer.ensemble.ridge`). Where
there are more clips than `SearchedOptions.compared` (1,500), candidates are compared on that many of them, drawn evenly from the
inner folds and classes; what is chosen learns from all. Up to the members, clips are compared as they are, without variants; with
more than 8,000 rows (clips times variants) variants are left out altogether, and more clips than that are learnt through 4,000
landmarks (`mer.kernels.lesson`).

1. *Hidden states* of every stream that has several, by a kernel machine of that stream alone (width .5, penalty .1): all
   windows of 4 neighbouring states, and all states; then around the best one the windows of 2, 3 and 6 states.
2. *Stream weights*, from the grid of the options (0 .05 .1 .25 .5 1 2): the stream that is best alone at 1, the others in the
   order of what they are worth alone, each at the weight that helps most; then every weight once more, the others held.
3. *Width and penalty*: all of the options' widths (.1 .25 .5 1 2) with all penalties (.02 .05 .1 .2 .5 1); weights once more at
   those; the neighbours of width and penalty once more.
4. *Members*, whose weights bagged greedy selection fits (`mer.ensemble.bagged`), each at its own temperature:
   - kernel machines: the best one; at half and at twice its width; with all hidden states; all streams alike (width .5); the
     best stream alone (widths .25 .5 1, penalties .05 .1 .3: the best);
   - where clips come in variants: the first four of these learning from all variants, at twice the penalty;
   - logistic regressions on the same hidden states, for each `C` of the options (.0001 .001 .01 .1 1 10): streams side by side as
     they are, and scaled as the best kernel machine weighs them; where clips come in variants, the best of them all learning
     from all variants.
   Members under 3 % are left out.
5. The temperature of the mixture. Its figures are of inner folds that are combined by weights that the other ones chose.
"""

from __future__ import annotations

WINDOW = 4
"""Hidden states of a window that is tried everywhere."""
NEARBY = ((0, -1), (1, 0), (1, -1), (-1, 1))
"""Shifts of first and last state around the best window."""
ALONE_WIDTH, ALONE_PENALTY = 0.5, 0.1
"""Of a kernel machine that compares hidden states, or streams, before anything else is known."""
ALONE_WIDTHS, ALONE_PENALTIES = (0.25, 0.5, 1.0), (0.05, 0.1, 0.3)
VARIED_PENALTY = 2.0
"""Factor of the penalty where all variants are learnt from: more clips that say the same."""
LEAST_SHARE = 0.03
"""Members under this weight are left out."""
COMPARED = 1500
"""Most clips on which candidates are compared, where options do not say."""
INVERSE_PENALTIES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
"""Of a logistic regression of kind `linear` that is given none."""


def kernel_penalty(varied: bool) -> float:
    """Penalty of a kernel machine that is given none."""
    return 0.1 if varied else 0.05


def windows(states: int) -> list[tuple[int, int]]:
    """(first, last) of the windows that are tried everywhere: of `WINDOW` states, and all."""
    size = min(WINDOW, states)
    tried = [(first, first + size - 1) for first in range(states - size + 1)]
    return list(dict.fromkeys([*tried, (0, states - 1)]))


def nearby_windows(best: tuple[int, int], states: int) -> list[tuple[int, int]]:
    """Windows of other lengths around the best one."""
    shifted = [(best[0] + one, best[1] + two) for one, two in NEARBY]
    return [(first, last) for first, last in shifted if 0 <= first <= last < states]
