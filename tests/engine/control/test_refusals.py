"""Each reason code of a refused profile has one reaction, and none of them is a loop (OCPP 2.1, SetChargingProfileResponse)."""

import pytest

from counterflow.domain.setpoints import NotSupported, Rejected
from counterflow.engine.control.refusals import Reaction, RefusalSettings, react

SETTINGS = RefusalSettings()


@pytest.mark.parametrize(
    ("code", "reaction"),
    [
        ("TxNotFound", Reaction.SESSION_GONE),
        ("InvalidMessageSeq", Reaction.WAIT_FOR_NEEDS),
        ("INVALIDOPERATIONMODE", Reaction.CANNOT),
        ("InvalidSchedule", Reaction.OUR_MISTAKE),
        ("OutOfMemory", Reaction.COOL_DOWN),
        ("", Reaction.COOL_DOWN),
    ],
)
def test_reason_codes_are_compared_without_case(code: str, reaction: Reaction) -> None:
    response = react(Rejected(reason_code=code), retried=False, settings=SETTINGS)
    assert response.reaction is reaction
    assert response.rest_s > 0
    assert not response.retry_level


def test_another_level_is_tried_once() -> None:
    refused = Rejected(reason_code="InvalidStackLevel")
    first = react(refused, retried=False, settings=SETTINGS)
    second = react(refused, retried=True, settings=SETTINGS)
    assert first.retry_level
    assert not second.retry_level
    assert second.rest_s == SETTINGS.long_rest_s


@pytest.mark.parametrize(("text", "rest_s"), [("30 seconds before retry", 30.0), ("later", 30.0), ("0 s", 1.0), ("99999 s", 900.0)])
def test_k01_fr_57_a_rate_limit_names_its_pause(text: str, rest_s: float) -> None:
    assert react(Rejected(reason_code="RateLimitExceeded", text=text), retried=False, settings=SETTINGS).rest_s == rest_s


def test_k01_fr_29_a_callerror_means_no_smart_charging() -> None:
    assert react(NotSupported(code="NotImplemented"), retried=False, settings=SETTINGS).reaction is Reaction.CANNOT
