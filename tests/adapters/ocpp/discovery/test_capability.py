"""From variables to the control mode of an EVSE, with the reason in words; unknown stays None."""

from collections.abc import Callable
from typing import Any

import pytest

from counterflow.adapters.ocpp.settings import NegativeLimitModel
from counterflow.domain.resources import ConnectedEv, ControlMode

Make = Callable[..., Any]
Values = dict[str, str]
SMART = "SmartChargingCtrlr"


@pytest.mark.parametrize(
    ("changes", "maxima", "words"),
    [
        ({f"{SMART}.ProfileStackLevel": "0"}, {}, "one stack level only"),
        ({f"{SMART}.PeriodsPerSchedule": "1"}, {}, "one period only"),
        ({f"{SMART}.Entries[ChargingProfiles]": "0"}, {f"{SMART}.Entries[ChargingProfiles]": 1.0}, "holds 1 profiles"),
        ({f"{SMART}.Entries[ChargingProfiles]!MaxSet": "1"}, {}, "holds 1 profiles"),
        ({"V2XChargingCtrlr@1.Available": "false"}, {}, "there is no V2X charging"),
    ],
)
def test_what_keeps_an_evse_out_is_said_in_words(
    desk: Any, model_of: Make, compliant: Values, changes: Values, maxima: dict[str, float], words: str
) -> None:
    desk.open_booted()
    model = model_of(desk, compliant | changes)
    model.maxima = maxima
    [evse] = model.serve().evses
    assert evse.control_mode is ControlMode.CHARGE_ONLY, "a limit to charging is one period in one profile"
    assert words in evse.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({f"{SMART}.MaxExternalConstraintsId": "1000000"}, "profile ids up to 1000000 belong to external constraints"),
        ({f"{SMART}.Enabled": "false"}, "smart charging is off"),
        ({f"{SMART}.Available": "false"}, "smart charging is off"),
    ],
)
def test_where_no_profile_of_ours_is_taken_charging_cannot_be_reduced_either(
    desk: Any, model_of: Make, compliant: Values, changes: Values, words: str
) -> None:
    desk.open_booted()
    [evse] = model_of(desk, compliant | changes).serve().evses
    assert evse.control_mode is ControlMode.NONE
    assert words in evse.reason


@pytest.mark.parametrize(
    ("said", "phases"),
    [({}, None), ({f"{SMART}.RateUnit": "W"}, None), ({f"{SMART}.RateUnit": "A,W"}, None), ({f"{SMART}.RateUnit": "A"}, 3),
     ({f"{SMART}.RateUnit": "A", "EVSE@1.SupplyPhases": "1"}, 1), ({f"{SMART}.RateUnit": "A", "EVSE@1.SupplyPhases": "0"}, 3)],
)  # fmt: skip
def test_where_profiles_in_w_are_not_taken_a_limit_is_told_in_a_over_the_phases_that_there_are(
    desk: Any, model_of: Make, compliant: Values, said: Values, phases: int | None
) -> None:
    desk.open_booted()
    [evse] = model_of(desk, compliant | said).serve().evses
    assert evse.ampere_phases == phases


@pytest.mark.parametrize(("highest", "mode"), [("999999", ControlMode.SETPOINT), ("0", ControlMode.SETPOINT), ("-1", ControlMode.SETPOINT)])
def test_k01_fr_81_our_ids_stand_above_those_of_external_constraints(
    desk: Any, model_of: Make, compliant: Values, highest: str, mode: ControlMode
) -> None:
    desk.open_booted()
    [evse] = model_of(desk, compliant | {f"{SMART}.MaxExternalConstraintsId": highest}).serve().evses
    assert (evse.control_mode, evse.max_external_constraints_id) == (mode, int(highest))


def test_evses_for_which_a_station_has_no_room_are_kept_out(desk: Any, model_of: Make, compliant: Values, with_evse: Make) -> None:
    desk.open_booted()
    desk.says("StatusNotification", {"timestamp": "2026-11-22T12:00:00Z", "connectorStatus": "Available", "evseId": 2, "connectorId": 1})
    room_for_three = {f"{SMART}.Entries[ChargingProfiles]!MaxSet": "3"}
    found = model_of(desk, with_evse(compliant, 2) | room_for_three).serve()
    assert [evse.control_mode for evse in found.evses] == [ControlMode.SETPOINT, ControlMode.CHARGE_ONLY]
    assert found.evses[1].reason == "the station holds 3 profiles (Entries[ChargingProfiles]), and each EVSE needs 2"


@pytest.mark.parametrize(
    "changes",
    [{f"{SMART}.Enabled": "false"}, {f"{SMART}.ProfileStackLevel": "0"}, {f"{SMART}.RateUnit": "A"}],
)
def test_no_model_discharges_on_a_negative_limit_where_profiles_are_of_no_use(
    desk_with: Make, model_of: Make, compliant: Values, changes: Values
) -> None:
    desk = desk_with(negative_limit_models=(NegativeLimitModel(model="Acme/M1"),))
    desk.open_booted()
    old = compliant | {"V2XChargingCtrlr@1.SupportedOperationModes": "ChargingOnly"} | changes
    assert model_of(desk, old).serve().evses[0].control_mode is not ControlMode.NEGATIVE_LIMIT


@pytest.mark.parametrize(
    ("told", "maximum", "rating"),
    [
        ({"": "3000", "!MaxSet": "11000"}, 7_400.0, 7_400.0),
        ({"": "3000", "!MaxSet": "-5000"}, 7_400.0, 5_000.0),
        ({"": "3000", "!MaxSet": "11000"}, None, 11_000.0),
        ({"": "3000"}, 7_400.0, 7_400.0),
        ({"": "3000"}, None, 3_000.0),
        ({"": "0"}, None, None),
        ({"": "plenty"}, None, None),
        ({}, None, None),
    ],
)
def test_the_discharge_rating_is_the_least_of_rated_and_configured(
    desk: Any, model_of: Make, compliant: Values, told: Values, maximum: float | None, rating: float | None
) -> None:
    desk.open_booted()
    values = {name: value for name, value in compliant.items() if "DischargePower" not in name}
    model = model_of(desk, values | {f"EVSE@1.DischargePower{mark}": value for mark, value in told.items()})
    model.maxima = {} if maximum is None else {"EVSE@1.DischargePower": maximum}
    assert model.serve().evses[0].max_discharge_power_w == rating


def test_everything_that_concerns_dispatch_is_read(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    said = {
        f"{SMART}.PeriodsPerSchedule": "24",
        f"{SMART}.Entries[ChargingProfiles]!MaxSet": "20",
        f"{SMART}.ChargingProfilePersistence[TxProfile]": "false",
        f"{SMART}.SupportedAdditionalPurposes": "PriorityCharging, LocalGeneration",
        f"{SMART}.SetpointPriority": "ExternalControl",
        f"{SMART}.ExternalControlSignalsEnabled": "true",
        f"{SMART}.NotifyChargingLimitWithSchedules": "false",
        f"{SMART}.ExternalConstraintsProfileDisallowed": "true",
        f"{SMART}.LimitChangeSignificance": "2.5",
        f"{SMART}.SupportsUseLocalTime": "true",
        f"{SMART}.SupportsFeature[EvseSleep]": "true",
        f"{SMART}.SupportsFeature[LimitAtSoC]": "false",
        "V2XChargingCtrlr@1.SupportedEnergyTransferModes": "DC,DC_BPT",
        "ISO15118Ctrlr@1.Enabled": "true",
        "ISO15118Ctrlr@1.ServiceRenegotiationSupport": "true",
        "EVSE@1.Power!MaxSet": "22000",
        "TxCtrlr.TxStartPoint": "EVConnected,Authorized",
        "TxCtrlr.StopTxOnInvalidId": "true",
        "OCPPCommCtrlr.OfflineThreshold": "60",
        "OCPPCommCtrlr.MessageAttempts[TransactionEvent]": "3",
        "OCPPCommCtrlr.WebSocketPingInterval": "0",
        "ClockCtrlr.DateTime": "2026-11-22T12:00:07Z",
    }
    found = model_of(desk, compliant | said).serve()
    [evse] = found.evses
    assert (evse.max_periods, evse.max_profiles, evse.tx_profiles_persist) == (24, 20, False)
    assert evse.additional_purposes == ("PriorityCharging", "LocalGeneration")
    assert (evse.setpoint_priority, evse.external_control_signals) == ("ExternalControl", True)
    assert (evse.limit_notices_with_schedules, evse.external_profiles_disallowed) == (False, True)
    assert evse.limit_change_significance_frac == pytest.approx(0.025)
    assert evse.features == ("UseLocalTime", "EvseSleep")
    assert (evse.energy_transfer_modes, evse.iso15118, evse.service_renegotiation) == (("DC", "DC_BPT"), True, True)
    assert evse.max_charge_power_w == 22_000.0
    facts = found.facts
    assert (facts.tx_start_points, facts.stops_on_invalid_token) == (("EVConnected", "Authorized"), True)
    assert (facts.offline_threshold_s, facts.message_attempts, facts.ping_interval_s) == (60.0, 3, 0.0)
    assert facts.clock_offset_s == 7.0
    assert facts.heartbeat_interval_s is None
    assert facts.measurands[:1] == ("Power.Active.Import",)


def test_r01_what_chademo_says_of_its_car_is_read_as_it_is_meant(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    car = {"ProtocolAgreed": "CHAdeMO,3", "StateOfCharge": "63", "StateOfCharge!MaxSet": "100", "EnergyImport!MaxSet": "40000"}
    car |= {"VehicleId": "", "DepartureTime": "soon"}
    [evse] = model_of(desk, compliant | {f"ConnectedEV@1.{name}": value for name, value in car.items()}).serve().evses
    assert evse.connected_ev == ConnectedEv(
        at_s=desk.now_s, protocol="CHAdeMO,3", soc_frac=0.63, max_soc_frac=1.0, capacity_wh=40_000.0, max_energy_request_wh=None
    )


def test_a_car_of_iso_15118_20_says_more(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    car = {
        "ProtocolAgreed": "urn:iso:std:iso:15118:-20:DC,1,0", "VehicleId": "0A1B", "StateOfCharge": "163", "BatteryCapacity": "60000",
        "EnergyImport!MaxSet": "20000", "EnergyImport!MinSet": "-15000", "EnergyImport!Target": "5000", "Power!MaxSet": "50000",
        "DischargePower!MaxSet": "-10000", "DepartureTime": "2026-11-22T17:00:00Z",
    }  # fmt: skip
    [evse] = model_of(desk, compliant | {f"ConnectedEV@1.{name}": value for name, value in car.items()}).serve().evses
    ev = evse.connected_ev
    assert ev is not None
    assert (ev.vehicle_id, ev.soc_frac, ev.capacity_wh) == ("0A1B", None, 60_000.0), "163 % is no state of charge"
    assert (ev.max_energy_request_wh, ev.min_energy_request_wh, ev.target_energy_request_wh) == (20_000.0, -15_000.0, 5_000.0)
    assert (ev.max_charge_power_w, ev.max_discharge_power_w) == (50_000.0, 10_000.0)
    assert ev.departure_s == desk.now_s + 5 * 3600.0


def test_an_evse_without_a_word_for_cars_has_none(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    assert model_of(desk, compliant | {"ConnectedEV@1.VehicleId": ""}).serve().evses[0].connected_ev is None
