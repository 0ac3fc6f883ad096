"""Multinomial logistic regressions over several streams beside each other, as members of an ensemble (scikit-learn)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mer.ensemble.family import StreamFamily, posteriors_of, rows_to_learn
from mer.ensemble.logistic import fit_logistic
from mer.ensemble.varied import PLAIN, check_streams
from mer.examples import Examples
from mer.posteriors import Posteriors


class LinearMember(BaseModel):
    """One logistic regression."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    streams: dict[str, float] = Field(
        min_length=1,
        description="Stream -> factor of its standardised features (positive): how lightly its weights are penalised.",
    )
    inverse_penalty: float = Field(
        default=0.01, gt=0.0, description="`C` of scikit-learn, for one variant of each clip."
    )
    variants: tuple[str, ...] = Field(
        default=(PLAIN,), min_length=1, description="Variants learnt from and averaged over."
    )
    iterations: int = Field(default=1000, ge=1, le=100_000, description="Most steps of the solver.")


class LinearFamily(StreamFamily[LinearMember]):
    """Logistic regressions on the same streams; arguments and errors as of `StreamFamily`."""

    def predict(
        self, examples: Examples, target_rows: NDArray[np.int64], candidates: Collection[str]
    ) -> dict[str, Posteriors]:
        """See `Family.predict`."""
        check_streams(self.streams, len(examples))
        train = rows_to_learn(examples, target_rows)
        return {name: self._fitted(self.members[name], examples, train, target_rows) for name in candidates}

    def _fitted(
        self,
        member: LinearMember,
        examples: Examples,
        train: NDArray[np.int64],
        target_rows: NDArray[np.int64],
    ) -> Posteriors:
        pairs = [
            (factor, self.streams[name].standardised(train, target_rows, member.variants))
            for name, factor in member.streams.items()
        ]
        learnt, read = (np.hstack([np.float32(factor) * pair[k] for factor, pair in pairs]) for k in (0, 1))
        count = len(member.variants)
        # every variant counts 1 / V, so that C means the same with and without variants
        weight = np.tile(examples.weight[train], count) / count
        target = np.eye(self.classes)[np.tile(examples.emotion[train], count)]
        model = fit_logistic(learnt, target, weight, member.inverse_penalty, member.iterations)
        scores = model.scores(read)
        return posteriors_of(examples, target_rows, scores, count)
