"""Decision 6 as a pure rule: in doubt a car is not discharged, and only the site's operator settles who has priority."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.domain.conflicts import Conflict, ForeignProfile, InstalledProfile, Leader, Telling
from counterflow.domain.ids import EvseId, ProfileId
from counterflow.domain.resources import ControlMode, EvseCapability
from counterflow.engine.conflicts.verdict import Situation, has_room, highest_level, on_evse, priority_unclear, verdict


def found(level: int, purpose: str = "TxProfile", evse: int = 1) -> ForeignProfile:
    profile = InstalledProfile(profile_id=ProfileId(level), purpose=purpose, stack_level=level)
    return ForeignProfile(evse_id=EvseId(evse), profile=profile, source="EMS", seen_at_s=0.0)


def able(**fields: Any) -> EvseCapability:
    return EvseCapability(evse_id=EvseId(1), control_mode=ControlMode.SETPOINT, reason="", **fields)


QUIET = Situation(telling=Telling.TOLD, seen=True, foreign=(), capability=able(max_stack_level=20), leader=None)


@pytest.mark.parametrize(
    ("change", "conflict"),
    [
        ({}, Conflict.NONE),
        ({"seen": False}, Conflict.UNSEEN),
        ({"telling": Telling.UNKNOWN, "seen": False}, Conflict.UNSEEN),
        ({"telling": Telling.UNSUPPORTED, "seen": False}, Conflict.NONE),
        ({"telling": Telling.UNSUPPORTED, "seen": False, "discharge_untold": False}, Conflict.NOT_TELLING),
        ({"foreign": (found(0),)}, Conflict.FOREIGN_PROFILE),
        ({"foreign": (found(3, "TxDefaultProfile"), found(2, "ChargingStationMaxProfile"))}, Conflict.NONE),
        ({"foreign": (found(0),), "leader": Leader.THEM}, Conflict.OTHERS_LEAD),
        ({"foreign": (found(0),), "leader": Leader.US}, Conflict.NONE),
        ({"foreign": (found(18),), "leader": Leader.US}, Conflict.NONE),
        ({"foreign": (found(19),), "leader": Leader.US}, Conflict.NO_LEVEL_ABOVE),
        ({"leader": Leader.THEM}, Conflict.NONE),
        ({"external_setpoint": True, "leader": Leader.US}, Conflict.EXTERNAL_SETPOINT),
        ({"external_setpoint": True, "capability": able(setpoint_priority="CSMS")}, Conflict.NONE),
        ({"capability": able(operation_modes=("CentralSetpoint", "ExternalSetpoint"))}, Conflict.PRIORITY_UNCLEAR),
        ({"capability": able(external_control_signals=True)}, Conflict.PRIORITY_UNCLEAR),
        ({"capability": able(external_control_signals=True, setpoint_priority="ExternalControl")}, Conflict.PRIORITY_UNCLEAR),
        ({"capability": able(external_control_signals=True, setpoint_priority="csms")}, Conflict.NONE),
        ({"capability": able(external_control_signals=True), "leader": Leader.US}, Conflict.NONE),
        ({"capability": able(external_control_signals=True), "leader": Leader.THEM}, Conflict.OTHERS_LEAD),
        ({"held_out": True, "leader": Leader.US}, Conflict.CONTRADICTS_ITSELF),
    ],
)
def test_decision_6_what_follows_from_what_is_known(change: dict[str, Any], conflict: Conflict) -> None:
    assert verdict(replace(QUIET, **change)) is conflict


@pytest.mark.parametrize("said", [None, "ExternalSystem", "ExternalControl", "anything"])
def test_a_plain_station_has_nothing_to_arbitrate_whatever_it_says_of_setpoint_priority(said: str | None) -> None:
    assert not priority_unclear(able(operation_modes=("ChargingOnly", "CentralSetpoint"), setpoint_priority=said))
    assert not priority_unclear(None)


SITUATIONS = st.builds(
    Situation,
    telling=st.sampled_from(Telling),
    seen=st.booleans(),
    foreign=st.lists(st.builds(found, st.integers(0, 30), st.sampled_from(["TxProfile", "TxDefaultProfile"])), max_size=3).map(tuple),
    capability=st.one_of(
        st.none(),
        st.builds(
            able,
            max_stack_level=st.one_of(st.none(), st.integers(0, 30)),
            setpoint_priority=st.sampled_from([None, "CSMS", "ExternalSystem"]),
            external_control_signals=st.sampled_from([None, True, False]),
        ),
    ),
    leader=st.sampled_from([None, *Leader]),
    held_out=st.booleans(),
    external_setpoint=st.booleans(),
    discharge_untold=st.booleans(),
)


@given(SITUATIONS)
def test_nothing_is_discharged_beside_a_foreign_transaction_profile_unless_the_operator_gave_us_priority_and_there_is_room(
    situation: Situation,
) -> None:
    if verdict(situation) is Conflict.NONE:
        assert not situation.held_out
        assert situation.seen or (situation.telling is Telling.UNSUPPORTED and situation.discharge_untold)
        if any(one.profile.purpose == "TxProfile" for one in situation.foreign):
            assert situation.leader is Leader.US
            assert has_room(highest_level(situation.foreign), situation.capability)


@given(SITUATIONS)
def test_knowing_less_never_allows_more(situation: Situation) -> None:
    if verdict(situation) is not Conflict.NONE:
        assert verdict(replace(situation, seen=False)) is not Conflict.NONE or situation.telling is Telling.UNSUPPORTED
        assert verdict(replace(situation, leader=None)) is not Conflict.NONE
        assert verdict(replace(situation, foreign=(*situation.foreign, found(30)))) is not Conflict.NONE


def test_what_is_on_the_whole_station_is_on_each_evse_and_an_unknown_evse_has_it_all() -> None:
    here, there, everywhere = found(1, evse=1), found(2, evse=2), found(3, evse=0)
    assert on_evse((here, there, everywhere), EvseId(1)) == (here, everywhere)
    assert on_evse((here, there, everywhere), EvseId(0)) == (here, there, everywhere)
    assert highest_level((here, there)) == 2
    assert highest_level((found(9, "TxDefaultProfile"),)) is None
