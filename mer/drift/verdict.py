"""What follows from the tests of a batch: nothing, a report, a suggestion, or a retraining, by stated thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mer.drift.battery import Battery, DriftTest
from mer.drift.config import DriftConfig, DriftPolicy

Finding = Literal["not tested", "cannot tell", "no drift", "drift"]
Action = Literal["nothing", "tell", "suggest", "start"]
_NAMED = 3
"""Tests that the reason names."""


@dataclass(frozen=True)
class Verdict:
    """What was found, and what is to be done."""

    finding: Finding
    action: Action
    """`nothing` unless drift was found; at most what the policy allows."""
    reason: str
    """For people."""


def not_tested(clips: int, reference: int, config: DriftConfig) -> Verdict | None:
    """The verdict where there are too few clips to test; None: there are enough."""
    for what, number in (("new clips", clips), ("clips of the training snapshot", reference)):
        if number < config.least_clips:
            return Verdict(
                "not tested", "nothing", f"{number} {what}, at least {config.least_clips} are needed"
            )
    return None


def verdict_of(battery: Battery, clips: int, config: DriftConfig) -> Verdict:
    """The verdict on a batch of `clips` new clips."""
    if battery.least_p > config.alpha:
        units = (
            f"{battery.units[1]} speakers of the new clips and {battery.units[0]} of the training snapshot"
        )
        return Verdict(
            "cannot tell",
            "nothing",
            f"{units} are too few to tell drift from other voices: no p-value can be below {battery.least_p:.3f}, "
            f"{config.alpha:g} is needed",
        )
    alarms = battery.alarms(config)
    if not alarms:
        small = [one for one in battery.tests if one.adjusted <= config.alpha]
        sure = f"; {named(small)} differ for sure, by less than {config.least_effect:g}" if small else ""
        least = min((one.adjusted for one in battery.tests), default=1.0)
        return Verdict(
            "no drift",
            "nothing",
            f"no drift: {len(battery.tests)} tests, smallest p-value of all together {least:.3f}{sure}",
        )
    largest = alarms[0].effect
    said = f"drift: {named(alarms)}; {len(alarms)} of {len(battery.tests)} tests alarm"
    return Verdict("drift", _action(largest, clips, config), f"{said}{_why(largest, clips, config)}")


def retraining_called_for(
    policy: DriftPolicy, action: str, labels: int, config: DriftConfig
) -> tuple[bool, str]:
    """Whether a retraining that looks at drift first goes on, and why, for people.

    Labels that are new are a reason of their own: no test of drift looks at them, and they are what a retraining learns from.

    Args:
        policy: of the retraining.
        action: of the verdict.
        labels: clips with labels that the champion did not learn from.
        config: options.
    """
    new = f"{labels} clips have labels that the champion did not learn from"
    if policy == "tell":
        return True, "trained in any case (on drift: tell)"
    if policy == "start" and action == "start":
        return True, "drift starts a retraining"
    if policy == "start" and labels >= config.start_labels:
        return True, f"{new}: they start a retraining"
    if policy == "start":
        return False, (
            f"nothing is trained: drift does not start a retraining, and {new} (`drift.start_labels`: {config.start_labels})"
        )
    return False, f"nothing is trained (on drift: suggest); {new}"


def named(tests: Sequence[DriftTest]) -> str:
    """The first tests with their effects."""
    shown = [f"{one.what} ({one.method}, effect {one.effect:.2f})" for one in tests[:_NAMED]]
    more = len(tests) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _action(effect: float, clips: int, config: DriftConfig) -> Action:
    if config.policy == "tell":
        return "tell"
    starts = effect >= config.start_effect and clips >= config.start_clips
    return "start" if config.policy == "start" and starts else "suggest"


def _why(effect: float, clips: int, config: DriftConfig) -> str:
    if config.policy != "start":
        return ""
    lacking = []
    if effect < config.start_effect:
        lacking.append(f"an effect of {config.start_effect:g} (largest {effect:.2f})")
    if clips < config.start_clips:
        lacking.append(f"{config.start_clips} clips ({clips})")
    return f"; a retraining starts from {' and '.join(lacking)} on" if lacking else ""
