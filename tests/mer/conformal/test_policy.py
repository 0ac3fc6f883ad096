"""What is asked of answers: sets, no answer above a risk, no answer on a flag."""

from __future__ import annotations

import numpy as np
import pytest

from mer.conformal.policy import RISK_TOO_HIGH, AnswerPolicy, abstained_line
from mer.conformal.record import conformal_record
from mer.errors import ConfigError, QuarantineReason
from mer.prediction_files import VIEWS
from mer.predictions import ABSTAINED, Evidence, Prediction

CLASSES = ("happy", "sad", "angry")


def record():  # type: ignore[no-untyped-def]
    """Of answers that are right as often as they say: at .9, and at .5."""
    sure, unsure = [0.9, 0.06, 0.04], [0.5, 0.3, 0.2]
    shares = np.array([sure] * 50 + [unsure] * 50)
    truth = np.array(([0] * 45 + [1] * 3 + [2] * 2) + ([0] * 25 + [1] * 15 + [2] * 10))
    return conformal_record(shares, truth, [f"s{row}" for row in range(100)], "lac")


def prediction(share: float, *flags: str) -> Prediction:
    rest = {0.9: (0.06, 0.04), 0.5: (0.3, 0.2)}[share]
    shares = dict(zip(CLASSES, (share, *rest), strict=True))
    return Prediction.of_answer(("x", "x.wav"), shares, 1.0, Evidence(("acoustic",), flags), ("m", 1))


UNREAD = Prediction(name="y", path="y.wav", status=QuarantineReason.TRUNCATED, model="m")


def test_nothing_is_asked_and_nothing_changes() -> None:
    assert not AnswerPolicy().asks
    given = [prediction(0.9), UNREAD]
    assert AnswerPolicy().apply(given, None) == given


def test_sets_are_the_likeliest_first() -> None:
    sure, unsure, unread = AnswerPolicy(coverage=0.9).apply(
        [prediction(0.9), prediction(0.5), UNREAD], record()
    )
    assert sure.prediction_set == ("happy",) and sure.discrete == "happy"
    assert unsure.prediction_set[:2] == ("happy", "sad") and unsure.answered
    assert unread == UNREAD


def test_who_is_too_unsure_gets_no_answer_and_keeps_what_was_read() -> None:
    sure, unsure = AnswerPolicy(abstain_above_risk=0.15).apply([prediction(0.9), prediction(0.5)], record())
    assert sure.answered
    assert (unsure.status, unsure.discrete, unsure.confidence, unsure.valence) == (
        ABSTAINED,
        None,
        None,
        None,
    )
    assert unsure.probabilities["happy"] == 0.5 and unsure.flags == (RISK_TOO_HIGH,)
    assert abstained_line([sure, unsure, UNREAD]) == "no answer by policy: 1 of 2 clips"


def test_a_flag_of_the_policy_gives_no_answer() -> None:
    policy = AnswerPolicy(no_answer_on=("no_speech",))
    assert policy.asks and not policy.measured
    odd, other = policy.apply([prediction(0.9, "no_speech"), prediction(0.9, "cut")], None)
    assert (odd.status, other.status) == (ABSTAINED, "ok")


def test_a_request_comes_before_the_recipe() -> None:
    recipe = AnswerPolicy(coverage=0.8, no_answer_on=("cut",))
    both = recipe.overridden(AnswerPolicy(coverage=0.95, abstain_above_risk=0.1))
    assert both == AnswerPolicy(coverage=0.95, abstain_above_risk=0.1, no_answer_on=("cut",))
    assert recipe.overridden(AnswerPolicy()) == recipe


def test_what_cannot_be_promised_is_an_error() -> None:
    with pytest.raises(ConfigError, match="risk: expected at least"):
        AnswerPolicy(abstain_above_risk=0.01).apply([prediction(0.9)], record())


@pytest.mark.parametrize("suffix", VIEWS)
@pytest.mark.parametrize("policy", [AnswerPolicy(), AnswerPolicy(coverage=0.9, abstain_above_risk=0.15)])
def test_files_are_read_back(suffix: str, policy: AnswerPolicy) -> None:
    given = policy.apply([prediction(0.9), prediction(0.5), UNREAD], record())
    text = VIEWS[suffix].text(given, CLASSES)
    assert VIEWS[suffix].read(text) == given
    assert ("prediction_set" in text.splitlines()[0]) == (policy.coverage is not None) or suffix != ".csv"
