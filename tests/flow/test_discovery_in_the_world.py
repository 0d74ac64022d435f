"""Discovery of whole stations on the virtual clock: all kinds of them, restarts, reboots, new firmware, settings given back, and a rush."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from counterflow.adapters.ocpp.discovery.dialogue import Errand
from counterflow.domain.ids import StationId
from counterflow.domain.resources import ControlMode
from counterflow.sim.meter import DEFAULT_MEASURANDS
from counterflow.sim.station import SimStation

Town = Any
FIRST = StationId("SIM-00001")
SET = {"SetVariables"}


def station_of(town: Town) -> SimStation:
    station: SimStation = town.world.fleet.stations[0]
    return station


def settings_of(station: SimStation) -> dict[str, Any]:
    """All that a CSMS can set at a station."""
    state = station.state
    return {
        "interval": state.meter_interval_s,
        "setpoint interval": state.setpoint_interval_s,
        "setpoint measurands": state.setpoint_measurands,
        "measurands": {kind: set(names) for kind, names in state.measurands.items()},
        "aligned": dict(state.aligned),
    }


def ask(town: Town, errand: Errand) -> list[Any]:
    """Somebody asks for it; what came of it."""
    over: list[Any] = []
    assert town.room.discover(FIRST, errand, town.now_s, over.append)
    town.world.at(town.now_s, lambda: None)
    town.run(10.0)
    return over


def reboot(town: Town) -> None:
    town.room.call(FIRST, "Reset", {"type": "Immediate"}, town.now_s, lambda _result: None)
    town.world.at(town.now_s, lambda: None)
    town.run(30.0)


KINDS: dict[str, dict[str, Any]] = {
    "compliant": {},
    "as the appendix spells it": {"plain_features": True},
    "only reports": {"unknown_actions": ["GetVariables"]},
    "no reports": {"unknown_actions": ["GetReport", "GetBaseReport"]},
    "two items a message": {"items_per_message": 2},
    "one item a message, no reports": {"items_per_message": 1, "unknown_actions": ["GetReport", "GetBaseReport"]},
    "short messages": {"bytes_per_message": 600},
    "no limits told": {"lacks": ["DeviceDataCtrlr"], "items_per_message": 7},
    "no pace under setpoints": {"lacks": ["V2XChargingCtrlr.TxUpdatedInterval", "V2XChargingCtrlr.TxUpdatedMeasurands"]},
    "no clock-aligned data": {"lacks": ["AlignedDataCtrlr"]},
    "few measurands": {"known_measurands": ["Power.Active.Import", "Power.Active.Export", "SoC"]},
    "few measurands, no reports": {"known_measurands": list(DEFAULT_MEASURANDS), "unknown_actions": ["GetReport", "GetBaseReport"]},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_station_is_known_set_up_and_discharges(town: Callable[..., Town], kind: str) -> None:
    here = town(
        4, station=KINDS[kind] | {"meter_interval_s": 60}, plant={"attrition_per_h": 0.0, "deaf_share": 0.0}, mix={"tight_share": 0.0}
    )
    view = here.operations.station(FIRST)
    assert [evse.control_mode for evse in view.evses] == [ControlMode.DYNAMIC]
    assert view.evses[0].max_discharge_power_w == station_of(here).state.first_evse.plant.max_power_w[0]
    assert (view.meter_interval_s, view.refusals) == (10.0, ())
    assert {change.former for change in view.changed_settings if change.variable.name == "TxUpdatedInterval"} >= {"60"}
    instruction = here.order(120.0, 0.8)
    here.run(110.0)
    assert here.delivered_w() > 0.5 * here.view(instruction).target_power_w
    assert here.world.fleet.violations() == []


def test_settings_are_given_back_as_they_were_even_after_restarts_of_ours(town: Callable[..., Town]) -> None:
    before: dict[str, Any] = {}
    here = town(1, station={"meter_interval_s": 45}, ready=lambda town: before.update(settings_of(station_of(town))))
    assert settings_of(station_of(here)) != before
    here.restart(lose_pending=True)
    here.run(30.0)
    assert [found.set_up_for for found in ask(here, Errand())] == [here.settings.ocpp.sampling_asked]
    changed = here.operations.station(FIRST).changed_settings
    [found] = ask(here, Errand(set_up=False, give_back=changed))
    assert settings_of(station_of(here)) == before
    assert {str(variable) for variable in found.given_back} == {str(change.variable) for change in changed}
    view = here.operations.station(FIRST)
    assert (view.changed_settings, view.hands_off, view.meter_interval_s) == ((), True, 45.0)
    # It stays so over a restart, and until somebody asks for discovery.
    since_s = here.now_s
    here.restart()
    here.run(30.0)
    assert here.calls(FIRST, since_s)["SetVariables"] == 0
    ask(here, Errand())
    assert here.operations.station(FIRST).meter_interval_s == 10.0


def test_what_is_about_to_be_changed_is_in_the_journal_when_the_message_leaves(town: Callable[..., Town]) -> None:
    seen = 0

    def look(sent: Any) -> None:
        nonlocal seen
        if sent.action in SET:
            known = {str(change.variable).partition(" of EVSE")[0] for change in here.room.registry.former[sent.station_id].changes}
            for item in sent.payload["setVariableData"]:
                variable = item["variable"]
                instance = f"[{variable['instance']}]" if "instance" in variable else ""
                assert f"{item['component']['name']}.{variable['name']}{instance}" in known
                seen += 1

    here = town(2, ready=lambda town: town.on_sent.append(look), warm_up_s=0.0)
    here.run(30.0)
    assert seen == 18


def test_what_requires_a_reboot_is_in_force_after_it_and_known_to_be(town: Callable[..., Town]) -> None:
    name = "SampledDataCtrlr.TxUpdatedInterval"
    here = town(1, station={"reboot_required": [name], "meter_interval_s": 45})
    view = here.operations.station(FIRST)
    assert (view.meter_interval_s, view.awaits_reboot) == (45.0, True)
    assert view.refusals == (f"{name} is set once the station has booted again.",)
    reboot(here)
    view = here.operations.station(FIRST)
    assert (view.meter_interval_s, view.awaits_reboot, view.refusals) == (10.0, False, ())


def test_new_firmware_is_discovered_anew(town: Callable[..., Town]) -> None:
    here = town(1)
    station, since_s = station_of(here), here.now_s
    reboot(here)
    assert here.calls(FIRST, since_s)["GetVariables"] == 0, "the same firmware is known"
    station.state.settings = replace(station.state.settings, firmware_version="2.0", operation_modes=("ChargingOnly",))
    reboot(here)
    [evse] = here.operations.station(FIRST).evses
    assert evse.control_mode is ControlMode.CHARGE_ONLY
    assert "CentralSetpoint is not among the supported operation modes" in evse.reason


def test_a_station_whose_ids_collide_with_ours_is_kept_out_until_the_settings_go_above_them(town: Callable[..., Town]) -> None:
    here = town(1, station={"max_external_constraints_id": 1_500_000})
    [evse] = here.operations.station(FIRST).evses
    assert evse.control_mode is ControlMode.NONE
    assert "set ledger.first_profile_id above it" in evse.reason
    here = town(1, station={"max_external_constraints_id": 1_500_000}, settings={"ledger": {"first_profile_id": 2_000_000}})
    assert here.operations.station(FIRST).evses[0].control_mode is ControlMode.DYNAMIC


def test_j01_registers_come_by_the_clock_and_are_counted_once(town: Callable[..., Town]) -> None:
    here = town(3, plant={"attrition_per_h": 0.0, "meter_loss": 0.0, "deaf_share": 0.0}, mix={"tight_share": 0.0})
    evse = station_of(here).state.first_evse
    before_wh = float(evse.plant.export_wh.sum())
    instruction = here.order(1_800.0, 0.8)
    here.run(1_800.0 + 300.0)
    aligned = [value.timestamp for value in evse.aligned]
    assert len(aligned) == 2, "17:15 and 17:30, for the end of the transaction"
    assert all(moment.minute % 15 == 0 and moment.second == 0 for moment in aligned)
    report = here.report(instruction.dispatch_id)
    assert report.delivered_energy_wh == pytest.approx(float(evse.plant.export_wh.sum()) - before_wh, rel=0.03)
    station_of(here).unplug(here.now_s)
    here.run(30.0)
    assert here.report(instruction.dispatch_id).delivered_energy_wh == pytest.approx(report.delivered_energy_wh, rel=0.001)


def test_a_fleet_that_comes_back_at_once_is_asked_in_order_at_a_pace_and_leaves_no_backlog(town: Callable[..., Town]) -> None:
    counters = {}
    here = town(120, settings={"ocpp": {"discovery_per_s": 10.0, "discovery_parallel": 8}}, warm_up_s=0.0)
    for _ in range(20):
        here.run(1.0)
        counters[round(here.now_s)] = here.room.csms.counters.awaiting_discovery
        assert here.room.csms.counters.discovering <= 8
    assert max(counters.values()) > 40, "they came faster than the pace"
    assert here.room.csms.counters.awaiting_discovery == 0
    assert sum(bool(record.evses) for record in here.room.registry.discoveries.values()) == 120
    since_s = here.now_s
    here.restart()
    here.run(30.0)
    assert here.calls(since_s=since_s)["GetVariables"] == 0, "what is known is not asked again"


def test_r01_a_chademo_car_is_known_by_its_evse_and_discharges_where_the_terms_say_so(
    town: Callable[..., Town],
) -> None:
    ideal = {"attrition_per_h": 0.0, "deaf_share": 0.0}
    here = town(3, station={"chademo": True}, plant=ideal, mix={"tight_share": 0.0})
    assert {view.reason for view in here.do(here.operations.sessions())} == {"not_iso15118_20"}
    alone = {"drivers": {"default": {"consent": True, "transfer_by_evse_alone": True}}}
    here = town(3, station={"chademo": True}, plant=ideal, mix={"tight_share": 0.0}, settings=alone)
    [evse] = here.operations.station(FIRST).evses
    assert (evse.connected_ev.protocol, evse.connected_ev.departure_s) == ("CHAdeMO,3", None)
    assert evse.connected_ev.vehicle_id not in (None, "", station_of(here).state.first_evse.evccid), "a pseudonym"
    [session] = [view for view in here.do(here.operations.sessions()) if view.station_id == FIRST]
    assert session.reason == "ready"
    above_wh = (session.soc_frac - session.soc_floor_frac) * station_of(here).state.first_evse.plant.capacity_wh[0]
    assert 0.7 * above_wh < session.energy_above_floor_wh < above_wh
    instruction = here.order(120.0, 0.8)
    here.run(110.0)
    assert here.delivered_w() > 0.5 * here.view(instruction).target_power_w
    # The next car is another one, and is looked at when it begins to charge.
    before, since_s = evse.connected_ev, here.now_s
    station_of(here).unplug(here.now_s)
    here.run(60.0)
    station_of(here).plug_in(here.now_s)
    here.run(120.0)  # until it is plugged in, authorized and charges
    assert here.operations.station(FIRST).evses[0].connected_ev.at_s > before.at_s
    assert here.calls(FIRST, since_s)["GetVariables"] == 2


def test_dispatch_goes_on_while_most_of_the_fleet_still_waits_to_be_asked(town: Callable[..., Town]) -> None:
    plant = {"attrition_per_h": 0.0, "deaf_share": 0.0, "derated_share": 0.0}
    here = town(90, plant=plant, mix={"tight_share": 0.0}, settings={"ocpp": {"discovery_per_s": 1.0}}, warm_up_s=30.0)
    assert here.room.csms.counters.awaiting_discovery > 50
    instruction = here.order(60.0, 0.6, mode="gross_export")
    here.run(45.0)
    assert here.room.csms.counters.awaiting_discovery > 5
    assert here.view(instruction).delivered_power_w > 0.9 * here.view(instruction).target_power_w
    here.run(60.0)
    assert here.room.csms.counters.awaiting_discovery == 0
    assert here.world.fleet.violations() == []
