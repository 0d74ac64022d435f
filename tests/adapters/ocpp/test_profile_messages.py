"""What was said of charging profiles, read back from raw frames of every version; nonsense among them is passed over."""

import pytest

from counterflow.adapters.ocpp.profile_messages import profile_messages

SET_21 = '[2,"a","SetChargingProfile",{"evseId":1,"chargingProfile":{"id":1000034,"stackLevel":8}}]'
SET_16 = '[2,"a","SetChargingProfile",{"connectorId":1,"csChargingProfiles":{"chargingProfileId":1000034,"stackLevel":8}}]'
MOVE = '[2,"a","UpdateDynamicSchedule",{"chargingProfileId":1000034,"scheduleUpdate":{"setpoint":-7000}}]'
CLEAR_21 = '[2,"a","ClearChargingProfile",{"chargingProfileId":1000034}]'
CLEAR_16 = '[2,"a","ClearChargingProfile",{"id":1000034}]'


@pytest.mark.parametrize("sent", [SET_21, SET_16, MOVE, CLEAR_21, CLEAR_16])
@pytest.mark.parametrize(
    ("answer", "words", "accepted"),
    [
        ('[3,"a",{"status":"Accepted"}]', "Accepted", True),
        ('[3,"a",{"status":"Rejected","statusInfo":{"reasonCode":"DuplicateProfile"}}]', "Rejected: DuplicateProfile", False),
        ('[4,"a","NotSupported","never heard of it",{}]', "NotSupported: never heard of it", False),
    ],
)
def test_a_request_and_its_answer(sent: str, answer: str, words: str, accepted: bool) -> None:
    (message,) = profile_messages([("out", 10.0, sent), ("in", 10.4, answer)])
    assert (message.profile_id, message.sent_s, message.answered_s) == (1000034, 10.0, 10.4)
    assert (message.answer, message.accepted) == (words, accepted)
    assert message.action in sent


def test_answers_go_by_their_message_and_nonsense_is_passed_over() -> None:
    frames = [
        ("in", 1.0, '[3,"of-before-the-ring",{"status":"Accepted"}]'),
        ("out", 2.0, SET_21),
        ("out", 3.0, CLEAR_21.replace('"a"', '"b"')),
        ("out", 3.1, '[2,"c","ClearChargingProfile",{"chargingProfileCriteria":{"evseId":1}}]'),
        ("out", 3.2, '[2,"d","SetChargingProfile",{"chargingProfile":"nonsense"}]'),
        ("out", 3.3, '[2,"e","SetChargingProfile"'),
        ("in", 4.0, '{"not":"a frame ChargingProfile"}'),
        ("in", 4.1, '[3,"b",{"status":7,"statusInfo":"x"}]'),
        ("in", 5.0, '[2,"s1","MeterValues",{}]'),
    ]
    first, second = profile_messages(frames)
    assert (first.answer, first.answered_s) == ("", None)
    assert (second.answer, second.accepted) == ("7", False)
