"""The gate: a challenger replaces the champion only on evidence, speaker by speaker, that it is better.

Rule (reconstruction). On clips that neither model trained on, WAF(challenger) - WAF(champion) must be above 0
and the lower end of its one-sided 97 % interval above -margin. The interval is the difference minus t times
its standard error: the deviation of the paired bootstrap over speakers, times sqrt(G / (G - 1)), and the
quantile of the t distribution with G - 1 degrees of freedom for G speakers. Plain percentiles promote an equal
challenger in 14 % of the draws with 4 speakers where this rule, at 95 %, gives 5 %.

Many nights. A gate that is asked every night at one level lets an equal challenger pass sooner or later, and all nights
share most of their clips. So a champion has an error budget: of the budget B, the k-th challenger that is compared with it may
spend B / (k (k + 1)), which is B in sum over any number of challengers (alpha spending, known; the weights are our choice).
By the union bound, and so however the nights depend on each other, the chance that a champion is ever replaced by a
challenger that is no better is at most B. A promotion starts a new budget: a chain of n promotions has at most n B false
ones in expectation. Nothing is claimed beyond that; above all not that a later model is better on clips of another kind.
What it costs: the tenth challenger needs 3.8 standard errors with 24 speakers, where the first needs 2.1.

Why the margin is 0. With a margin m the rule asks for non-inferiority: an equal challenger passes whenever the
interval is narrower than m and the sign of the difference happens to be right, up to half of the time, and a
chain of promotions may lose up to m each. What must hold is at most 5 % of false promotions for an equal
challenger and 1 % for one 2 points worse: a test of superiority. A margin makes sense where a fresh model is
worth something by itself. The level is 97 % and not 95 % so that 5 % is kept and not only met on average.

What the rule gives by simulation (24 speakers x 60 clips, 8 classes, WAF about .80, the challenger deciding
30 % of the clips anew; 1,000 draws; tests/mer/evaluation/test_gate.py):

    margin                 0      .005    .01     .02
    2 points worse         0.0 %  0.1 %   0.2 %   1.1 %
    equal                  3.0 %  9.7 %   24 %    51 %

At margin 0 a challenger 1, 2, 3 points better is promoted in 24, 73, 97 % of the draws; with 5 speakers x 30
clips false promotions are 2.7 % (equal) and 0.9 % (2 points worse), with 100 x 15 3.6 % and 0 %.

What is better overall may be worse somewhere: `mer.evaluation.gate_checks` keep out a challenger that passed, where a
single class, the calibration or the class shares of the answers are worse for sure. They can only refuse, so all of the
above bounds stay.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mer.errors import ConfigError
from mer.evaluation.chance import chance_scores
from mer.evaluation.gate_checks import CheckFinding, ComparedAnswers, GateChecks, run_checks
from mer.evaluation.intervals import Resampling, paired_differences, resampled_units, resampling_groups
from mer.evaluation.metrics import chance_waf, confusion, waf


class GateConfig(BaseModel):
    """Conditions under which a challenger may replace the champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float = Field(
        default=0.0,
        ge=0.0,
        le=0.2,
        description="How far below 0 the lower bound may lie (WAF; 0.01 = one point). 0: better.",
    )
    confidence: float = Field(default=0.97, gt=0.5, lt=1.0, description="Confidence of the one-sided bound.")
    budget: float | None = Field(
        default=0.05,
        gt=0.0,
        lt=0.5,
        description="Chance, over all challengers of one champion, that one that is no better replaces it; each one more that "
        "is compared must be surer. None: every comparison at `confidence` alone.",
    )
    resamples: int = Field(
        default=2000, ge=200, le=100_000, description="Bootstrap resamples (of whole speakers)."
    )
    min_clips: int = Field(default=20, ge=1, description="Fewest common clips on which anything is decided.")
    approval: Literal["off", "required"] = Field(
        default="off",
        description="Whether what passes waits for a person (`mer models NAME --approve VERSION`, or Prefect's page).",
    )
    approval_hours: float = Field(
        default=24.0, gt=0.0, le=336.0, description="How long it waits in hours; then it is not promoted."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the resampling.")
    checks: GateChecks = Field(
        default_factory=GateChecks,
        description="What may not be worse in a challenger that is better overall: single classes, calibration, class shares.",
    )

    def confidence_after(self, earlier: int) -> float:
        """Confidence of the bound for a champion that `earlier` challengers have been compared with."""
        if self.budget is None:
            return self.confidence
        return max(self.confidence, 1 - self.budget / ((earlier + 1) * (earlier + 2)))


@dataclass(frozen=True)
class ScoredClips:
    """One model's predictions on labelled clips it was not trained on."""

    clip_ids: tuple[str, ...]
    truth: NDArray[np.int64]
    """(N,) class index."""
    predicted: NDArray[np.int64]
    """(N,) class index."""
    speaker: tuple[str | None, ...]
    probabilities: NDArray[np.float64] | None = None
    """(N, C) calibrated; None: only the classes are known."""

    def restricted(self, clip_ids: Sequence[str]) -> ScoredClips:
        """The same for these clips, in this order."""
        position = {clip_id: row for row, clip_id in enumerate(self.clip_ids)}
        rows = np.array([position[clip_id] for clip_id in clip_ids], dtype=np.int64)
        return ScoredClips(
            clip_ids=tuple(clip_ids),
            truth=self.truth[rows],
            predicted=self.predicted[rows],
            speaker=tuple(self.speaker[row] for row in rows),
            probabilities=None if self.probabilities is None else self.probabilities[rows],
        )

    def joined(self, other: ScoredClips) -> ScoredClips:
        """The predictions of both, which share no clip."""
        return ScoredClips(
            clip_ids=(*self.clip_ids, *other.clip_ids),
            truth=np.concatenate([self.truth, other.truth]),
            predicted=np.concatenate([self.predicted, other.predicted]),
            speaker=(*self.speaker, *other.speaker),
            probabilities=None
            if self.probabilities is None or other.probabilities is None
            else np.concatenate([self.probabilities, other.probabilities]),
        )


@dataclass(frozen=True)
class GateDecision:
    """Decision of the gate, and the figures behind it."""

    promote: bool
    reason: str
    """One sentence for people."""
    difference: float
    """Challenger minus champion in WAF (minus chance, for a first champion)."""
    lower: float
    """Lower end of the one-sided interval of the difference; for a first champion, by how much chance does not reach it."""
    challenger: float
    champion: float
    """WAF on the common clips; chance level where there is no champion."""
    clips: int
    groups: int
    margin: float
    resampled: str = ""
    """What the groups are: speakers, or clips where speakers are unknown."""
    confidence: float = float("nan")
    """Confidence of `lower`; NaN in records of 0.5.0 and before."""
    earlier: int = 0
    """Challengers that the champion was compared with before."""
    checks: tuple[CheckFinding, ...] = ()
    """What was looked at beside weighted F1; empty in records of 0.6.0 and before, and for a first champion."""

    def to_json(self) -> str:
        """The decision as JSON text, for the audit row."""
        return json.dumps(asdict(self), sort_keys=True)


def decide(
    challenger: ScoredClips,
    champion: ScoredClips,
    config: GateConfig,
    earlier: int = 0,
    emotions: Sequence[str] = (),
) -> GateDecision:
    """Compare two models on the clips both were scored on.

    Args:
        challenger: the new model.
        champion: the one that is served.
        config: the conditions.
        earlier: challengers that this champion was compared with before, which have spent of its error budget.
        emotions: names of the classes, for the reason.

    Raises:
        ConfigError: the two disagree about the truth of a clip.
    """
    common = sorted(set(challenger.clip_ids) & set(champion.clip_ids))
    if len(common) < config.min_clips:
        return _too_few(len(common), config)
    new, old = challenger.restricted(common), champion.restricted(common)
    if (new.truth != old.truth).any():
        raise ConfigError(
            "gate: challenger and champion were scored against different labels of the same clips"
        )
    confidence = config.confidence_after(earlier)
    classes = 1 + int(max(new.truth.max(), new.predicted.max(), old.predicted.max()))
    resampling = Resampling(config.resamples, config.seed)
    compared = paired_differences(
        new.truth,
        new.predicted,
        old.predicted,
        new.speaker,
        classes,
        resampling=resampling,
    )
    both = None
    if new.probabilities is not None and old.probabilities is not None:
        both = (new.probabilities, old.probabilities)
    answers = ComparedAnswers(new.truth, new.predicted, old.predicted, new.speaker, classes, both)
    decision = _judge(
        _Evidence(
            difference=compared.point,
            lower=compared.lower(confidence),
            challenger=compared.first,
            champion=compared.second,
            clips=len(common),
            groups=compared.groups,
            resampled=resampled_units(new.speaker),
            confidence=confidence,
            earlier=earlier,
        ),
        config,
    )
    return _checked(decision, run_checks(answers, config.checks, resampling, emotions))


def decide_first(challenger: ScoredClips, config: GateConfig) -> GateDecision:
    """Whether a first model may be served: its WAF must be above chance, and above what chance reaches at this confidence.

    Chance is the better of always naming the most frequent class and of drawing from the class distribution; what it reaches is
    found by permuting the labels within speakers (`mer.evaluation.chance`). There is no margin.
    """
    if len(challenger.clip_ids) < config.min_clips:
        return _too_few(len(challenger.clip_ids), config)
    classes = 1 + int(max(challenger.truth.max(), challenger.predicted.max()))
    chance = chance_waf(np.bincount(challenger.truth, minlength=classes).astype(np.float64))
    score = float(waf(confusion(challenger.truth, challenger.predicted, classes)))
    dealt = chance_scores(
        challenger.truth, challenger.predicted, challenger.speaker, classes,
        resampling=Resampling(config.resamples, config.seed),
    )  # fmt: skip
    reached = float(np.quantile(dealt, config.confidence, method="higher"))
    units = resampled_units(challenger.speaker)
    groups = len(np.unique(resampling_groups(challenger.speaker, len(challenger.clip_ids))))
    promote = score > max(chance, reached)
    return GateDecision(
        promote=promote,
        reason=(
            f"{'promoted' if promote else 'kept out'}: WAF {score:.4f} against {chance:.4f} of chance, which reaches "
            f"{reached:.4f} in {1 - config.confidence:.0%} of permutations of the labels ({len(challenger.clip_ids)} clips, "
            f"{groups} {units})"
        ),
        difference=score - chance,
        lower=score - reached,
        challenger=score,
        champion=chance,
        clips=len(challenger.clip_ids),
        groups=groups,
        margin=0.0,
        resampled=units,
        confidence=config.confidence,
    )


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """What a decision is made on; fields as in `GateDecision`."""

    difference: float
    lower: float
    challenger: float
    champion: float
    clips: int
    groups: int
    resampled: str
    confidence: float
    earlier: int


def _judge(evidence: _Evidence, config: GateConfig) -> GateDecision:
    difference, lower = evidence.difference, evidence.lower
    promote = difference > 0 and lower > -config.margin
    verdict = "promoted" if promote else "kept out"
    least = -config.margin or 0.0  # a margin of 0 is shown without a minus
    number = f"; challenger {evidence.earlier + 1} of this champion" if evidence.earlier else ""
    reason = (
        f"{verdict}: WAF {evidence.challenger:.4f} against {evidence.champion:.4f} of the champion, "
        f"difference {difference:+.4f}, "
        f"one-sided {_percent(evidence.confidence)} lower bound {lower:+.4f} (must be above {least:.4f}; "
        f"{evidence.clips} clips, {evidence.groups} {evidence.resampled}{number})"
    )
    return GateDecision(promote=promote, reason=reason, margin=config.margin, **asdict(evidence))


def _checked(decision: GateDecision, findings: tuple[CheckFinding, ...]) -> GateDecision:
    """The decision with what the checks found: they keep out what weighted F1 would let pass, and promote nothing."""
    failed = [finding.reason for finding in findings if not finding.passed]
    reason = decision.reason
    if decision.promote and failed:
        better = reason.removeprefix("promoted: ")
        reason = f"kept out by {'checks' if len(failed) > 1 else 'a check'}: {', and '.join(failed)}; though better: {better}"
    elif findings:
        said = ", and ".join(failed) if failed else ", ".join(_short(finding) for finding in findings)
        reason += f"; {'checks would refuse it too: ' if failed else 'checks passed: '}{said}"
    return replace(decision, promote=decision.promote and not failed, reason=reason, checks=findings)


def _short(finding: CheckFinding) -> str:
    titles = {"class": "F1 by class", "log-loss": "log-loss", "shares": "class shares"}
    name = titles[finding.check]
    return f"{name} not known" if finding.difference is None else f"{name} {finding.difference:+.3f}"


def _percent(confidence: float) -> str:
    """With two digits of what is missing to certainty: 97 %, 97.5 %, 99.955 %."""
    missing = float(f"{100 * (1 - confidence):.2g}")
    return f"{round(100 - missing, 6):g} %"


def _too_few(clips: int, config: GateConfig) -> GateDecision:
    nothing = float("nan")
    return GateDecision(
        promote=False,
        reason=f"kept out: {clips} clips to compare on, at least {config.min_clips} are needed",
        difference=nothing,
        lower=nothing,
        challenger=nothing,
        champion=nothing,
        clips=clips,
        groups=0,
        margin=config.margin,
    )
