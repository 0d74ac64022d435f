"""A station on the wire: boot, authorization, needs, metering, the offline queue, and an answer to everything."""

import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from counterflow.adapters.ocpp import messages as m
from counterflow.adapters.ocpp import rpc
from counterflow.sim.answers import ANSWERS
from counterflow.sim.settings import PlantSettings

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def actions(bench: Any) -> list[str]:
    return [action for _, _, action, _ in bench.csms.requests]


def values(event: m.TransactionEventRequest) -> dict[str, float]:
    assert event.meter_value is not msgspec.UNSET
    return {str(one.measurand): one.value for one in event.meter_value[0].sampled_value}


def meter_events(bench: Any) -> list[m.TransactionEventRequest]:
    return [one for one in bench.csms.events("Updated") if one.trigger_reason == "MeterValuePeriodic"]


# ---- boot


def test_b01_a_session_begins_with_boot_status_authorize_started_needs(bench: Any) -> None:
    assert actions(bench) == [
        "BootNotification",
        "StatusNotification",
        "StatusNotification",
        "Authorize",
        "TransactionEvent",
        "NotifyEVChargingNeeds",
        "TransactionEvent",
    ]
    assert bench.station.booted


def test_b02_until_it_is_accepted_a_station_says_nothing_but_boot(make_bench: Callable[..., Any], tiny_csms: Any) -> None:
    csms = tiny_csms()
    csms.boot_status = "Pending"
    bench = make_bench(csms).begin()
    bench.run(3600 - 1)
    assert actions(bench) == ["BootNotification"]
    csms.boot_status = "Accepted"
    bench.run(5)
    assert actions(bench)[1] == "BootNotification"
    assert bench.station.sessions == 1


def test_a_reconnect_comes_without_boot_and_without_repeating_what_is_known(bench: Any) -> None:
    bench.csms.requests.clear()
    bench.cut()
    bench.connect()
    assert actions(bench) == []


def test_g01_a_station_of_the_newer_kind_reports_connectors_by_notify_event(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(event_status=True).begin()
    events = [request for _, _, action, request in bench.csms.requests if action == "NotifyEvent"]
    data = [one.event_data[0] for one in events]
    assert [(one.component.name, one.variable.name, one.actual_value) for one in data] == [
        ("Connector", "AvailabilityState", "Available"),
        ("Connector", "AvailabilityState", "Occupied"),
    ]
    assert "StatusNotification" not in actions(bench)


def test_b12_reset_ends_the_transaction_boots_again_and_loses_tx_profiles(bench: Any, fallback_profile: Callable[..., Any]) -> None:
    bench.call("SetChargingProfile", fallback_profile(bench.transaction_id))
    assert bench.call("Reset", {"type": "Immediate"}).status == "Accepted"
    bench.run(2)
    assert bench.station.drop_line
    assert bench.csms.events("Ended")[0].transaction_info.stopped_reason == "ImmediateReset"
    assert bench.station.installed_profiles == []
    bench.cut()
    bench.csms.requests.clear()
    bench.connect()
    assert actions(bench)[0] == "BootNotification"
    assert bench.csms.requests[0][3].reason == "RemoteReset"


def test_b11_reset_on_idle_waits_for_the_transaction(bench: Any) -> None:
    assert bench.call("Reset", {"type": "OnIdle"}).status == "Scheduled"
    bench.run(5)
    assert not bench.station.drop_line
    bench.station.unplug(bench.now_s)
    bench.exchange()
    assert bench.station.drop_line


# ---- authorization and needs


def test_q01_authorize_carries_the_evccid(bench: Any) -> None:
    request = next(request for _, _, action, request in bench.csms.requests if action == "Authorize")
    assert request.id_token.additional_info[0].type == "EVCCID"
    started = bench.csms.events("Started")[0]
    assert started.id_token == request.id_token
    assert started.evse == m.EVSEType(id=1, connector_id=1)


def test_e01_fr_16_evse_and_token_are_told_once(bench: Any) -> None:
    bench.run(60)
    later = bench.csms.events()[1:]
    assert len(later) > 5
    assert all(one.evse is msgspec.UNSET and one.id_token is msgspec.UNSET for one in later)


def test_needs_agree_with_the_battery(bench: Any) -> None:
    needs = next(request for _, _, action, request in bench.csms.requests if action == "NotifyEVChargingNeeds").charging_needs
    car, parameters = bench.plant, needs.v2x_charging_parameters
    energy_wh, capacity_wh = float(car.energy_wh[0]), float(car.capacity_wh[0])
    assert (needs.requested_energy_transfer, needs.control_mode) == ("DC_BPT", "DynamicControl")
    assert parameters.max_discharge_power == 11_000
    assert parameters.ev_min_v2x_energy_request == pytest.approx(0.3 * capacity_wh - energy_wh, abs=1.0)
    assert parameters.ev_target_energy_request == pytest.approx(0.6 * capacity_wh - energy_wh, abs=1.0)
    assert parameters.ev_max_energy_request == pytest.approx(capacity_wh - energy_wh, abs=1.0)
    assert needs.departure_time.timestamp() == pytest.approx(bench.now_s + 36_000.0)


def test_q01_without_an_allowed_bidirectional_transfer_the_car_asks_for_one_way_only(
    make_bench: Callable[..., Any], tiny_csms: Any
) -> None:
    bench = make_bench(tiny_csms(allowed=["DC"])).begin()
    needs = next(request for _, _, action, request in bench.csms.requests if action == "NotifyEVChargingNeeds").charging_needs
    assert (needs.requested_energy_transfer, needs.available_energy_transfer) == ("DC", ["DC", "DC_BPT"])
    assert not bench.evse.bidirectional


def test_q01_fr_06_an_upgrade_brings_new_needs(make_bench: Callable[..., Any], tiny_csms: Any) -> None:
    bench = make_bench(tiny_csms(allowed=[])).begin()
    upgrade = {"transactionId": bench.transaction_id, "allowedEnergyTransfer": ["DC_BPT"]}
    assert bench.call("NotifyAllowedEnergyTransfer", upgrade).status == "Accepted"
    bench.run(3)
    needs = [request for _, _, action, request in bench.csms.requests if action == "NotifyEVChargingNeeds"]
    assert needs[-1].charging_needs.requested_energy_transfer == "DC_BPT"
    assert bench.evse.bidirectional
    assert bench.call("NotifyAllowedEnergyTransfer", {**upgrade, "transactionId": "x"}).status == "Rejected"


def test_k18_rejected_needs_end_the_transaction(make_bench: Callable[..., Any], tiny_csms: Any) -> None:
    bench = make_bench(tiny_csms(needs_status="Rejected")).begin()
    assert bench.csms.events("Ended")[0].transaction_info.stopped_reason == "ReqEnergyTransferRejected"
    assert bench.station.sessions == 0


# ---- metering


def test_j02_samples_come_at_the_interval_with_rising_numbers_and_registers_in_the_2_1_sign_convention(
    bench: Any, discharge_profile: Callable[..., Any]
) -> None:
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id))
    bench.run(100)
    samples = meter_events(bench)
    assert len(samples) == 10
    assert [one.seq_no for one in bench.csms.events()] == list(range(len(bench.csms.events())))
    gaps = {(b.timestamp - a.timestamp).total_seconds() for a, b in pairwise(samples)}
    assert gaps == {10.0}
    readings = [values(one) for one in samples[2:]]
    assert all(one["Power.Active.Export"] == 7000 and one["Power.Active.Import"] == 0 for one in readings)
    exports = [one["Energy.Active.Export.Register"] for one in readings]
    assert exports == sorted(exports)
    assert exports[-1] - exports[0] == pytest.approx(7000 * 70 / 3600, abs=1.0)
    assert readings[0]["SoC"] in (79, 80)
    assert samples[-1].transaction_info.charging_state == "Charging"
    assert samples[-1].transaction_info.operation_mode == "CentralSetpoint"


def test_a_station_after_everests_fashion_reports_discharge_as_negative_import(
    make_bench: Callable[..., Any], discharge_profile: Callable[..., Any]
) -> None:
    bench = make_bench(signed_import=True).begin()
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id))
    bench.run(30)
    last = values(meter_events(bench)[-1])
    assert last["Power.Active.Import"] == -7000
    assert "Power.Active.Export" not in last


def set_variable(bench: Any, component: dict[str, Any], variable: dict[str, Any], value: str) -> str:
    wish = {"setVariableData": [{"component": component, "variable": variable, "attributeValue": value}]}
    return str(bench.call("SetVariables", wish).set_variable_result[0].attribute_status)


def test_the_sampling_interval_that_the_csms_sets_is_obeyed(bench: Any) -> None:
    assert set_variable(bench, {"name": "SampledDataCtrlr"}, {"name": "TxUpdatedInterval"}, "2") == "Accepted"
    bench.csms.requests.clear()
    bench.run(60)
    assert 29 <= len(meter_events(bench)) <= 31
    assert set_variable(bench, {"name": "sampleddatactrlr"}, {"name": "txupdatedinterval"}, "0") == "Accepted"
    bench.csms.requests.clear()
    bench.run(60)
    assert meter_events(bench) == []


def test_q01_fr_33_a_faster_interval_holds_in_central_setpoint_only(bench: Any, discharge_profile: Callable[..., Any]) -> None:
    v2x = ({"name": "V2XChargingCtrlr", "evse": {"id": 1}}, {"name": "TxUpdatedInterval", "instance": "CentralSetpoint"})
    assert set_variable(bench, *v2x, "1") == "Accepted"
    bench.csms.requests.clear()
    bench.run(30)
    assert 2 <= len(meter_events(bench)) <= 4
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id))
    bench.csms.requests.clear()
    bench.run(30)
    assert len(meter_events(bench)) >= 28


def test_measurands_are_those_that_were_set_and_unknown_ones_are_refused(bench: Any) -> None:
    name = ({"name": "SampledDataCtrlr"}, {"name": "TxUpdatedMeasurands"})
    assert set_variable(bench, *name, "SoC,Voltage") == "Rejected"
    assert set_variable(bench, *name, "SoC") == "Accepted"
    bench.csms.requests.clear()
    bench.run(30)
    assert set(values(meter_events(bench)[-1])) == {"SoC"}


def test_one_meter_value_in_a_hundred_is_never_sent(make_bench: Callable[..., Any]) -> None:
    lossy = msgspec.structs.replace(PlantSettings.ideal(), meter_loss=0.01)
    bench = make_bench(plant=lossy, meter_interval_s=1).begin()
    bench.run(6000)
    assert len(meter_events(bench)) / 6000 == pytest.approx(0.99, abs=0.005)


def test_meter_values_arrive_late_by_a_fifth_of_a_second_and_more(make_bench: Callable[..., Any]) -> None:
    slow = msgspec.structs.replace(PlantSettings.ideal(), meter_latency_s=0.2, meter_latency_mean_s=0.8)
    bench = make_bench(plant=slow).begin()
    bench.run(3000)
    delays = [at_s - one.timestamp.timestamp() for at_s, _, action, one in bench.csms.requests if action == "TransactionEvent"][3:]
    assert min(delays) >= 0.2
    # The bench looks at the station once a second, which adds half a second on average.
    assert sum(delays) / len(delays) == pytest.approx(0.2 + 0.8 + 0.5, abs=0.2)


def test_f06_fr_07_a_triggered_transaction_event_brings_a_fresh_sample(bench: Any) -> None:
    request = {"requestedMessage": "TransactionEvent", "evse": {"id": 1}}
    assert bench.call("TriggerMessage", request).status == "Accepted"
    event = bench.csms.events()[-1]
    assert event.trigger_reason == "Trigger"
    assert event.timestamp.timestamp() == bench.now_s
    for message, action in (("Heartbeat", "Heartbeat"), ("StatusNotification", "StatusNotification"), ("MeterValues", "MeterValues")):
        assert bench.call("TriggerMessage", {"requestedMessage": message}).status == "Accepted"
        assert actions(bench)[-1] == action
    assert bench.call("TriggerMessage", {"requestedMessage": "LogStatusNotification"}).status == "NotImplemented"


# ---- the car leaves


def test_a_car_that_leaves_says_so_and_the_connector_is_free(bench: Any) -> None:
    bench.station.unplug(bench.now_s)
    bench.exchange()
    ended = bench.csms.events("Ended")[0]
    assert (ended.trigger_reason, ended.transaction_info.stopped_reason) == ("EVDeparted", "EVDisconnected")
    assert values(ended)["Energy.Active.Import.Register"] > 0
    assert bench.csms.requests[-1][3].connector_status == "Available"


def test_a_silent_car_is_gone_and_the_station_answers_as_if_nothing_had_happened(
    bench: Any, discharge_profile: Callable[..., Any], fallback_profile: Callable[..., Any]
) -> None:
    bench.call("SetChargingProfile", fallback_profile(bench.transaction_id))
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id))
    bench.run(5)
    bench.station.go_silent(bench.now_s)
    bench.csms.requests.clear()
    bench.run(60)
    assert bench.power_w == 0.0
    assert actions(bench) == []
    assert bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, -3000.0)).status == "Accepted"
    assert bench.call("ClearChargingProfile", {"chargingProfileId": 1_000_001}).status == "Accepted"


def test_a_fault_ends_the_transaction_and_shows(bench: Any) -> None:
    bench.station.fault(bench.now_s)
    bench.exchange()
    assert bench.csms.events("Ended")[0].trigger_reason == "AbnormalCondition"
    assert bench.csms.requests[-1][3].connector_status == "Faulted"


def test_f03_request_stop_ends_and_request_start_begins_again(bench: Any) -> None:
    first = bench.transaction_id
    assert bench.call("RequestStopTransaction", {"transactionId": first}).status == "Accepted"
    assert bench.csms.events("Ended")[0].trigger_reason == "RemoteStop"
    assert bench.call("RequestStopTransaction", {"transactionId": first}).status == "Rejected"
    start = {"idToken": {"idToken": "A", "type": "Central"}, "remoteStartId": 9, "evseId": 1}
    answer = bench.call("RequestStartTransaction", start)
    assert (answer.status, answer.transaction_id) == ("Accepted", bench.transaction_id)
    assert bench.transaction_id != first
    assert bench.csms.events("Started")[-1].transaction_info.remote_start_id == 9


def test_g03_an_inoperative_evse_takes_no_car(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.connect()
    assert bench.call("ChangeAvailability", {"operationalStatus": "Inoperative"}).status == "Accepted"
    assert bench.csms.requests[-1][3].connector_status == "Unavailable"
    bench.station.plug_in(bench.now_s)
    bench.exchange()
    assert bench.station.sessions == 0


# ---- offline and retries


def test_e11_events_of_an_offline_time_come_later_in_order_and_say_so(bench: Any) -> None:
    bench.run(30)
    bench.cut()
    bench.csms.requests.clear()
    bench.run(60)
    status = bench.station.uplink.events
    assert len(status) == 6
    bench.connect()
    events = bench.csms.events()
    assert len(events) == 6
    assert all(one.offline is True for one in events)
    assert [one.seq_no for one in events] == list(range(events[0].seq_no, events[0].seq_no + 6))
    bench.run(10)
    assert bench.csms.events()[-1].offline is msgspec.UNSET


def test_e11_fr_07_an_event_that_waited_for_its_answer_when_the_line_broke_comes_again_as_offline(bench: Any) -> None:
    bench.csms.mute.add("TransactionEvent")
    bench.call("TriggerMessage", {"requestedMessage": "TransactionEvent"})
    first = bench.csms.events()[-1]
    bench.cut()
    bench.csms.mute.clear()
    bench.connect()
    again = bench.csms.events()[-1]
    assert (again.seq_no, again.timestamp) == (first.seq_no, first.timestamp)
    assert first.offline is msgspec.UNSET
    assert again.offline is True


def test_a_car_that_came_while_offline_starts_as_charging_only_and_brings_its_needs_later(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.connect()
    bench.cut()
    bench.station.plug_in(bench.now_s)
    bench.run(5)
    assert bench.station.sessions == 1
    bench.connect()
    bench.run(1)
    assert bench.csms.events("Started")[0].offline is True
    assert "NotifyEVChargingNeeds" in actions(bench)
    assert not bench.evse.bidirectional


def test_e13_an_unanswered_event_is_tried_three_times_with_growing_waits_and_then_given_up(
    make_bench: Callable[..., Any], tiny_csms: Any
) -> None:
    bench = make_bench(tiny_csms(), meter_interval_s=0, call_timeout_s=5.0, message_attempts=3, message_attempt_interval_s=10.0).begin()
    bench.csms.mute.add("TransactionEvent")
    bench.call("TriggerMessage", {"requestedMessage": "TransactionEvent"})
    bench.csms.requests.clear()
    bench.station.uplink.session.take_outbox()
    bench.run(120)
    times = [at_s - 1_800_000_000.0 for at_s, _, action, _ in bench.csms.requests if action == "TransactionEvent"]
    assert times == [15.0, 40.0]
    assert bench.station.uplink.lost_events == 1
    assert len(bench.station.uplink.events) == 0


def test_a_full_queue_drops_updates_never_the_beginning_or_the_end(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(meter_interval_s=1, queue_limit=8).begin()
    bench.cut()
    bench.run(100)
    bench.station.unplug(bench.now_s)
    kinds = [queued.request.event_type for queued in bench.station.uplink.events]
    assert len(kinds) == 8
    assert kinds[-1] == "Ended"


def test_e14_transaction_status_tells_what_is_queued(bench: Any) -> None:
    answer = bench.call("GetTransactionStatus", {"transactionId": bench.transaction_id})
    assert (answer.ongoing_indicator, answer.messages_in_queue) == (True, False)
    assert bench.call("GetTransactionStatus", {"transactionId": "x"}).ongoing_indicator is False
    assert bench.call("GetTransactionStatus", {}).ongoing_indicator is msgspec.UNSET


def test_a_deauthorized_transaction_ends(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    info = m.IdTokenInfoType(status="Invalid")
    monkeypatch.setattr(bench.csms, "_answer", lambda _action, _now_s: m.TransactionEventResponse(id_token_info=info))
    bench.run(20)
    assert bench.csms.events("Ended")[0].transaction_info.stopped_reason == "DeAuthorized"


# ---- device model


def read(
    bench: Any, name: str, variable: str, *, instance: str | None = None, evse: int | None = None, attribute: str | None = None
) -> Any:
    component = {"name": name} if evse is None else {"name": name, "evse": {"id": evse}}
    asked: dict[str, Any] = {"component": component, "variable": {"name": variable}}
    if instance is not None:
        asked["variable"]["instance"] = instance
    if attribute is not None:
        asked["attributeType"] = attribute
    return bench.call("GetVariables", {"getVariableData": [asked]}).get_variable_result[0]


def test_b06_the_device_model_answers_what_discovery_asks(bench: Any) -> None:
    assert "CentralSetpoint" in read(bench, "V2XChargingCtrlr", "SupportedOperationModes", evse=1).attribute_value
    assert read(bench, "SmartChargingCtrlr", "ProfileStackLevel").attribute_value == "20"
    assert read(bench, "SmartChargingCtrlr", "SupportsFeature", instance="MaxOfflineDuration").attribute_value == "true"
    assert read(bench, "EVSE", "DischargePower", evse=1, attribute="MaxSet").attribute_value == "11000"
    assert read(bench, "EVSE", "ActiveTransactionId", evse=1).attribute_value == bench.transaction_id
    assert read(bench, "EVSE", "DischargePower", evse=2).attribute_status == "UnknownVariable"
    assert read(bench, "Nonsense", "X").attribute_status == "UnknownComponent"
    assert read(bench, "SmartChargingCtrlr", "RateUnit", attribute="MinSet").attribute_status == "NotSupportedAttributeType"
    assert set_variable(bench, {"name": "SmartChargingCtrlr"}, {"name": "RateUnit"}, "A") == "Rejected"
    assert set_variable(bench, {"name": "SmartChargingCtrlr"}, {"name": "SetpointPriority"}, "CSMS") == "Accepted"


def test_b07_the_base_report_comes_in_parts_and_holds_everything(bench: Any) -> None:
    assert bench.call("GetBaseReport", {"requestId": 3, "reportBase": "FullInventory"}).status == "Accepted"
    parts = [request for _, _, action, request in bench.csms.requests if action == "NotifyReport"]
    assert [one.tbc for one in parts] == [True] * (len(parts) - 1) + [False]
    rows = [row for part in parts for row in part.report_data]
    lists = {row.variable.name: row.variable_characteristics.values_list for row in rows if row.component.name == "SampledDataCtrlr"}
    assert "Energy.Active.Export.Register" in lists["TxUpdatedMeasurands"]


# ---- everything else


def simplest(kind: Any) -> Any:
    """The smallest value that a wire type admits."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return simplest(arguments[0])
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        return simplest(next(one for one in arguments if one is not msgspec.UnsetType))
    if origin is list:
        return [simplest(arguments[0])]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{field.name: simplest(hints[field.name]) for field in msgspec.structs.fields(kind) if field.required})
    return {str: "x", int: 1, float: 1.0, bool: True, datetime: NOW}[kind]


@pytest.mark.parametrize("action", sorted(m.TO_STATION))
def test_every_request_of_a_csms_gets_a_valid_answer(action: str, bench: Any) -> None:
    response = bench.call(action, simplest(m.ACTIONS[action][0]))
    assert type(response) is m.ACTIONS[action][1]
    msgspec.json.decode(msgspec.json.encode(response), type=m.ACTIONS[action][1])
    assert bench.csms.sessions["T-00001"].violations == 0


def test_the_table_of_answers_is_complete() -> None:
    assert set(ANSWERS) | {"Reset"} == m.TO_STATION


def test_an_unknown_action_is_not_implemented(bench: Any) -> None:
    bench.station.receive(rpc.encode_call("z", "MakeCoffee", m.HeartbeatRequest()), bench.now_s)
    assert bench.station.take_outbox()[0].startswith(b'[4,"z","NotImplemented"')


def test_a_call_about_profiles_may_not_be_read_or_be_carried_out_without_an_answer(
    make_bench: Callable[..., Any], fallback_profile: Callable[..., Any]
) -> None:
    for lost, stored in (({"unread_share": 1.0}, 0), ({"unanswered_share": 1.0}, 1)):
        bench = make_bench(**lost).begin()
        answered = len(bench.csms.done)
        bench.csms.call("T-00001", "SetChargingProfile", fallback_profile(bench.transaction_id), bench.now_s)
        bench.exchange()
        assert len(bench.csms.done) == answered
        assert len(bench.station.installed_profiles) == stored
        bench.run(60)
        assert meter_events(bench), "everything else goes on"


def test_losses_of_calls_come_at_their_share(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(unread_share=0.1, unanswered_share=0.1).begin()
    for number in range(1_000):
        bench.station.receive(b'[2,"c%d","ClearChargingProfile",{"chargingProfileId":7}]' % number, bench.now_s)
    assert len(bench.station.take_outbox()) / 1_000 == pytest.approx(0.81, abs=0.04)
