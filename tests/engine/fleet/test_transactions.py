"""How sessions open, change and end."""

from typing import Any

import msgspec
import pytest

from counterflow.domain.drivers import AgreedTerms
from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.reasons import DropOutKind
from counterflow.domain.resources import ConnectedEv, ControlMode, EvseCapability
from counterflow.domain.telemetry import CapabilitiesDiscovered, ConnectedEvReported, EventKind, TransactionPhase

Yard = Any
"""`conftest.Yard`; tests share code through fixtures only."""


def test_started_opens_a_session_and_asks_for_a_tick(yard: Yard, t0: float) -> None:
    applied = yard.start(id_token="tag", measurements=yard.reading(0.0, import_wh=7.0))
    assert applied.wake
    assert applied.sampled == yard.uid() == 1
    (record,) = applied.changed
    assert (record.evse_id, record.started_s, record.ended_s, record.id_token_hash) == (1, t0, None, "#tag")
    assert yard.state.record_of(yard.uid()) == record
    assert yard.state.uid_at(StationId("A"), EvseId(1)) == 1
    assert yard.state.key_of(yard.uid()) == ("A", "t1")
    assert yard.cell("import_wh") == 7.0


def test_e01_fr_16_evse_and_token_come_once_and_stay(yard: Yard) -> None:
    yard.start(id_token="tag")
    assert yard.sample(at=10.0, power_w=1.0).sampled == 1
    assert yard.cell("evse_id") == 1
    assert yard.state.record_of(yard.uid()).id_token_hash == "#tag"


def test_an_ordinary_sample_changes_no_record_and_wakes_nobody(yard: Yard) -> None:
    yard.ready()
    applied = yard.sample(at=10.0, power_w=-1.0, export_wh=1001.0, import_wh=5000.0, soc_frac=0.6)
    assert (applied.sampled, applied.changed, applied.left, applied.wake) == (1, (), (), False)


def test_e13_a_repeated_event_is_taken_once(yard: Yard) -> None:
    yard.start()
    assert yard.sample(at=10.0, seq_no=5, power_w=1.0).sampled == 1
    again = yard.sample(at=10.0, seq_no=5, power_w=1.0)
    assert (again.sampled, again.changed, again.wake) == (0, (), False)
    assert yard.start(seq_no=1).sampled == 0


def test_quirk_1_a_station_that_numbers_every_event_0_still_works(yard: Yard) -> None:
    yard.start(seq_no=0, phase=TransactionPhase.UNKNOWN)
    for at in (10.0, 20.0, 30.0):
        assert yard.sample(at=at, seq_no=0, power_w=at).sampled == 1
        assert yard.sample(at=at, seq_no=0, power_w=at).sampled == 0
    assert yard.cell("power_w") == 30.0
    assert yard.cell("phase") == TransactionPhase.UNKNOWN


def test_ended_frees_the_row_and_counts_as_a_drop_out(yard: Yard, t0: float) -> None:
    yard.start()
    uid = yard.uid()
    applied = yard.end(at=50.0, measurements=yard.reading(50.0, export_wh=1.0))
    assert applied.sampled == uid
    assert applied.left == ((uid, DropOutKind.ENDED),)
    assert applied.wake
    assert applied.changed[0].ended_s == t0 + 50.0
    assert yard.state.row_of(uid) is None
    assert yard.state.uid_of(StationId("A"), "t1") is None
    assert yard.state.uid_at(StationId("A"), EvseId(1)) is None
    assert len(yard.state) == 0
    assert not yard.state.snapshot(t0).occupied.any()
    with pytest.raises(KeyError):
        yard.state.record_of(uid)


def test_rows_are_reused_and_uids_never(yard: Yard) -> None:
    yard.ready()
    yard.end(at=10.0)
    yard.start("t2", at=20.0)
    assert (yard.state.row_of(yard.uid("t2")), yard.uid("t2")) == (0, 2)
    assert yard.cell("setpoint_state", "t2") == 0
    assert list(yard.state.uids()) == [2]


def test_late_values_of_an_ended_session_are_kept_but_never_open_it(yard: Yard, t0: float) -> None:
    yard.start()
    yard.end(at=50.0)
    late = yard.update(at=40.0, offline=True, measurements=yard.reading(40.0, export_wh=1.0))
    assert (late.sampled, late.changed, late.wake) == (1, (), False)
    assert yard.update(at=41.0, offline=True).sampled == 0
    assert yard.start(at=0.0, offline=True, measurements=yard.reading(0.0, export_wh=1.0)).sampled == 1
    assert len(yard.state) == 0
    assert yard.end(at=50.0, measurements=yard.reading(50.0, export_wh=1.0)).sampled == 0
    corrected = yard.end(at=45.0, measurements=yard.reading(45.0, export_wh=1.0))
    assert (corrected.sampled, corrected.changed[0].ended_s) == (1, t0 + 45.0)


def test_a_station_may_use_an_ended_id_again(yard: Yard) -> None:
    yard.start()
    yard.end(at=50.0)
    applied = yard.start(at=60.0)
    assert applied.changed[0].session_uid == 2
    assert yard.uid() == 2
    assert yard.end(at=70.0).changed[0].session_uid == 2


def test_ended_of_an_unknown_transaction_is_recorded_as_closed(yard: Yard, t0: float) -> None:
    applied = yard.end(at=5.0, measurements=yard.reading(5.0, export_wh=1.0))
    assert (applied.sampled, applied.left, applied.wake) == (1, (), False)
    assert applied.changed[0].ended_s == t0 + 5.0
    assert len(yard.state) == 0


def test_updated_of_an_unknown_transaction_is_adopted(yard: Yard, t0: float) -> None:
    applied = yard.sample(at=10.0, power_w=3.0)
    assert applied.sampled == 1
    assert applied.changed[0].evse_id == 0
    assert yard.cell("power_w") == 3.0
    assert yard.measure(evse=1, at=11.0, power_w=4.0).sampled == 0
    learned = yard.update(at=12.0, evse_id=EvseId(1))
    assert learned.changed[0].evse_id == 1
    assert yard.measure(evse=1, at=13.0, power_w=4.0).sampled == 1
    late_start = yard.start(at=-100.0, offline=True)
    assert late_start.changed[0].started_s == t0 - 100.0
    assert yard.cell("started_s") == t0 - 100.0


def test_an_adopted_transaction_lives_at_the_only_evse(yard: Yard) -> None:
    yard.discover(evses=(1,))
    yard.sample(at=10.0, power_w=3.0)
    assert yard.cell("evse_id") == 1


def test_discovery_of_one_evse_gives_a_session_its_place(yard: Yard) -> None:
    yard.sample(at=10.0, power_w=3.0)
    applied = yard.discover(evses=(3,))
    assert applied.changed[0].evse_id == 3
    assert yard.cell("control_mode") == 2


def test_two_sessions_without_a_place_stay_so(yard: Yard) -> None:
    yard.sample("t1", at=10.0, power_w=3.0)
    yard.sample("t2", at=10.0, power_w=3.0)
    assert yard.discover(evses=(3,)).changed == ()
    assert yard.cell("evse_id", "t1") == 0


def test_a_new_transaction_ends_the_older_one_on_its_evse(yard: Yard, t0: float) -> None:
    yard.start("t1")
    applied = yard.start("t2", at=100.0)
    assert [(record.transaction_id, record.ended_s) for record in applied.changed] == [("t1", t0 + 100.0), ("t2", None)]
    assert applied.left == ((1, DropOutKind.ENDED),)
    assert yard.state.uid_at(StationId("A"), EvseId(1)) == yard.uid("t2")
    assert yard.end("t1", at=90.0).changed[0].ended_s == t0 + 90.0


def test_learning_the_evse_ends_who_was_there(yard: Yard) -> None:
    yard.start("t1")
    yard.update("t2", at=100.0)
    applied = yard.update("t2", at=110.0, evse_id=EvseId(1))
    assert [record.transaction_id for record in applied.changed] == ["t1", "t2"]
    assert applied.left == ((1, DropOutKind.ENDED),)


def test_a_session_whose_evse_turns_out_to_be_taken_by_a_newer_one_is_over(yard: Yard, t0: float) -> None:
    yard.update("t1", at=0.0)
    yard.start("t2", at=100.0)
    applied = yard.update("t1", at=50.0, evse_id=EvseId(1), offline=True, measurements=yard.reading(50.0, export_wh=1.0))
    assert (applied.sampled, applied.left) == (1, ((1, DropOutKind.ENDED),))
    assert applied.changed[0].ended_s == t0 + 100.0
    assert yard.state.uid_at(StationId("A"), EvseId(1)) == yard.uid("t2")


def test_an_older_transaction_that_turns_up_late_does_not_displace_the_present_one(yard: Yard, t0: float) -> None:
    yard.start("t2", at=100.0)
    applied = yard.start("t1", at=0.0, offline=True)
    assert applied.changed[0].ended_s == t0 + 100.0
    assert applied.left == ()
    assert yard.state.uid_of(StationId("A"), "t1") is None
    assert yard.state.uid_at(StationId("A"), EvseId(1)) == yard.uid("t2")


def test_a_corrected_evse_moves_the_session(yard: Yard) -> None:
    yard.start("t1", evse=1)
    yard.update("t1", at=5.0, evse_id=EvseId(2))
    assert yard.state.uid_at(StationId("A"), EvseId(1)) is None
    assert yard.state.uid_at(StationId("A"), EvseId(2)) == 1


def test_a_start_far_in_the_future_counts_from_arrival(yard: Yard, t0: float) -> None:
    yard.start(at=9000.0, received_s=t0)
    assert yard.cell("started_s") == t0


def test_a_driver_who_shows_the_card_later_gets_their_terms(yard: Yard) -> None:
    yard.terms["tag"] = AgreedTerms(consent=False, min_soc_frac=0.5)
    yard.start()
    assert yard.cell("consent")
    applied = yard.update(at=5.0, id_token="tag")
    assert applied.changed[0].id_token_hash == "#tag"
    assert not yard.cell("consent")
    assert yard.cell("soc_floor_frac") == 0.5
    assert yard.update(at=6.0, id_token="other").changed == ()


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"phase": TransactionPhase.SUSPENDED_EV}, DropOutKind.SUSPENDED),
        ({"phase": TransactionPhase.EV_CONNECTED}, DropOutKind.SUSPENDED),
        ({"phase": TransactionPhase.IDLE}, DropOutKind.EV_GONE),
        ({"trigger": "EVDeparted"}, DropOutKind.EV_GONE),
        ({"trigger": "EVCommunicationLost"}, DropOutKind.EV_GONE),
        ({"trigger": "EVCommunicationLost", "phase": TransactionPhase.EV_CONNECTED}, DropOutKind.EV_GONE),
        ({"trigger": "AbnormalCondition"}, DropOutKind.FAULTED),
    ],
)
def test_drop_out_signals_count_once(yard: Yard, fields: dict[str, Any], kind: DropOutKind) -> None:
    yard.start()
    applied = yard.update(at=5.0, **fields)
    assert applied.left == ((1, kind),)
    assert applied.wake
    assert yard.update(at=6.0, **fields).left == ()


def test_a_suspended_evse_is_no_drop_out_since_stations_say_so_at_our_0_w(yard: Yard) -> None:
    yard.start()
    applied = yard.update(at=5.0, phase=TransactionPhase.SUSPENDED_EVSE)
    assert (applied.left, applied.wake) == ((), True)
    assert yard.cell("phase") == TransactionPhase.SUSPENDED_EVSE


def test_a_late_phase_does_not_undo_a_newer_one(yard: Yard) -> None:
    yard.start()
    yard.update(at=10.0, phase=TransactionPhase.CHARGING)
    assert yard.update(at=5.0, phase=TransactionPhase.SUSPENDED_EV, offline=True).left == ()
    assert yard.cell("phase") == TransactionPhase.CHARGING


def test_charging_again_clears_an_abnormal_condition(yard: Yard) -> None:
    yard.start()
    yard.update(at=5.0, trigger="AbnormalCondition")
    assert yard.cell("evse_fault")
    yard.update(at=6.0, trigger="ChargingStateChanged", phase=TransactionPhase.CHARGING)
    assert not yard.cell("evse_fault")


def test_an_old_abnormal_condition_is_history(yard: Yard) -> None:
    yard.start()
    assert yard.update(at=5.0, trigger="AbnormalCondition", offline=True).left == ()
    assert not yard.cell("evse_fault")


def test_j01_meter_values_belong_to_the_session_on_the_evse(yard: Yard) -> None:
    yard.start("t1", evse=1)
    yard.start("t2", evse=2)
    assert yard.measure(evse=2, at=10.0, power_w=5.0).sampled == yard.uid("t2")
    assert yard.cell("power_w", "t2") == 5.0
    assert yard.measure(evse=0, at=10.0, power_w=6.0).sampled == 0
    assert yard.measure(evse=1, at=10.0, station="nobody", power_w=6.0).sampled == 0
    assert yard.measure(evse=1, at=-10.0, power_w=6.0).sampled == 0


def test_meter_values_teach_the_needs_their_baseline(yard: Yard) -> None:
    yard.start()
    yard.needs()
    applied = yard.measure(at=10.0, export_wh=1.0, import_wh=2.0)
    assert applied.changed[0].needs_import_wh == 2.0
    assert applied.wake


def test_k15_needs_reach_the_session_on_the_evse(yard: Yard, t0: float) -> None:
    yard.start()
    applied = yard.needs(min_v2x_energy_request_wh=-9000.0, target_energy_request_wh=4000.0, target_soc_frac=0.9)
    assert applied.wake
    assert applied.changed[0].needs is not None
    wanted = {
        "departure_s": t0 + 8 * 3600.0, "capacity_wh": 60_000.0, "soc_frac": 0.6, "soc_target_frac": 0.9, "v2x_floor_wh": 9000.0,
        "target_request_wh": 4000.0, "min_discharge_w": 500.0, "max_charge_w": 11_000.0, "min_charge_w": 500.0, "bidirectional": True,
    }  # fmt: skip
    assert {name: yard.cell(name) for name in wanted} == wanted


def test_needs_that_come_before_their_transaction_wait_for_it(yard: Yard) -> None:
    assert yard.needs().changed == ()
    applied = yard.start(at=5.0)
    assert applied.changed[0].needs is not None
    assert yard.cell("capacity_wh") == 60_000.0


def test_needs_of_long_ago_belong_to_another_car(yard: Yard) -> None:
    yard.needs()
    assert yard.start(at=1000.0).changed[0].needs is None


def test_waiting_needs_are_claimed_when_the_evse_is_learned(yard: Yard) -> None:
    yard.needs()
    yard.update(at=5.0)
    assert yard.update(at=6.0, evse_id=EvseId(1)).changed[0].needs is not None


def test_older_needs_do_not_replace_newer(yard: Yard) -> None:
    yard.start()
    yard.needs(at=10.0)
    assert yard.needs(at=5.0, capacity_wh=1.0).changed == ()
    assert yard.cell("capacity_wh") == 60_000.0


def test_needs_from_a_clock_far_ahead_count_from_arrival(yard: Yard, t0: float) -> None:
    yard.start()
    yard.needs(at=9000.0, received_s=t0 + 1.0)
    assert yard.cell("needs_at_s") == t0 + 1.0


def test_q02_giving_up_the_bidirectional_transfer_is_a_drop_out(yard: Yard) -> None:
    yard.start()
    assert yard.needs(at=1.0).left == ()
    assert yard.needs(at=2.0, bidirectional=False).left == ((1, DropOutKind.WITHDRAWN),)
    assert not yard.cell("bidirectional")


def test_events_of_one_transaction_id_at_two_stations_are_two_sessions(yard: Yard) -> None:
    yard.start("t1")
    yard.event(EventKind.STARTED, "t1", station="B", evse_id=EvseId(1))
    assert yard.uid("t1", "A") != yard.uid("t1", "B")
    assert yard.state.station_ids == ("A", "B")


def test_records_survive_the_way_to_disk(yard: Yard) -> None:
    record = yard.ready().state.record_of(1)
    assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record


def described(yard: Yard, t0: float, at: float = 5.0, **car: Any) -> Any:
    event = ConnectedEvReported(station_id=StationId("A"), evse_id=EvseId(1), at_s=t0 + at, car=ConnectedEv(at_s=t0 + at, **car))
    return yard.state.apply(event, t0 + at)


def test_r01_a_car_without_needs_is_known_by_its_evse_and_agrees_to_nothing_by_that(yard: Yard, t0: float) -> None:
    evse = EvseCapability(
        evse_id=EvseId(1), control_mode=ControlMode.SETPOINT, reason="", max_discharge_power_w=6_000.0, max_charge_power_w=10_000.0
    )
    yard.state.apply(CapabilitiesDiscovered(station_id=StationId("A"), at_s=t0, evses=(evse,)), t0)
    yard.start()
    assert described(yard, t0, protocol="CHAdeMO,3", soc_frac=0.6, capacity_wh=40_000.0).wake
    assert (yard.cell("capacity_wh"), yard.cell("bidirectional")) == (40_000.0, False)
    assert yard.cell("max_charge_w") == pytest.approx(5_400.0), "no more than the EVSE gives in either direction, less a tenth"
    assert not described(yard, t0, 10.0, protocol="CHAdeMO,3", soc_frac=0.6, capacity_wh=50_000.0).wake, "the first word stands"
    assert yard.cell("capacity_wh") == 40_000.0


@pytest.mark.parametrize(
    "car",
    [
        {"protocol": "urn:iso:std:iso:15118:-20:DC,1,0", "capacity_wh": 40_000.0},
        {"capacity_wh": 40_000.0},
        {"protocol": "CHAdeMO,3", "soc_frac": 0.6},
    ],
)
def test_a_car_that_announces_its_needs_or_of_which_nothing_is_known_is_not_guessed(yard: Yard, t0: float, car: dict[str, Any]) -> None:
    yard.start()
    assert not described(yard, t0, **car).wake
    assert yard.state.record_of(yard.uid()).needs is None


def test_what_the_car_announced_itself_is_never_replaced_by_what_its_evse_says(yard: Yard, t0: float) -> None:
    yard.ready()
    before = yard.state.record_of(yard.uid()).needs
    assert before is not None
    assert not described(yard, t0, 50.0, protocol="CHAdeMO,3", capacity_wh=1.0).wake
    assert yard.state.record_of(yard.uid()).needs == before


def test_k01_the_phases_of_an_ac_car_are_told_where_they_are_fewer_than_a_station_takes_for_granted(yard: Yard) -> None:
    yard.start()
    [uid] = yard.state.uids()
    assert yard.state.phases_of(uid) is None
    yard.update(at=1.0, phases_used=1)
    assert yard.state.phases_of(uid) == 1
    assert yard.state.record_of(uid).phases == 1
    yard.update(at=2.0)
    assert yard.state.phases_of(uid) == 1
    yard.needs(at=3.0, ac=True, phases=2)
    assert yard.state.phases_of(uid) == 2, "the car's own word"
    yard.needs(at=4.0, ac=False)
    assert yard.state.phases_of(uid) is None, "DC has no phases (NoPhaseForDC)"
    yard.needs(at=5.0, ac=True)
    yard.state.phases_refused(uid)
    assert yard.state.phases_of(uid) is None
    yard.update(at=6.0, phases_used=3)
    assert yard.state.phases_of(uid) is None
