"""Setting a station's sampling: remembered before it is sent, only what it takes, and given back on request."""

from collections.abc import Callable
from typing import Any

import pytest

from counterflow.adapters.ocpp.discovery.dialogue import Errand
from counterflow.domain.ids import StationId
from counterflow.domain.records import DiscoveryRecord
from counterflow.domain.resources import StationIdentity
from counterflow.domain.station_settings import ChangedSetting, StationVariable
from counterflow.domain.telemetry import CapabilitiesDiscovered, CapabilitiesOutdated, SettingsChanging

Make = Callable[..., Any]
Values = dict[str, str]
INTERVAL = StationVariable("SampledDataCtrlr", "TxUpdatedInterval")
NAME = "SampledDataCtrlr.TxUpdatedInterval"
S1 = StationId("S1")


def served_up_to(desk: Any, model: Any, action: str) -> None:
    while desk.calls() and desk.call()[0] != action:
        model.serve_one()


def test_what_was_there_is_told_before_the_message_that_changes_it(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, compliant)
    served_up_to(desk, model, "SetVariables")
    changes = {change.variable: change for event in desk.happened(SettingsChanging) for change in event.changes}
    asked = {item["variable"]["name"]: item["attributeValue"] for item in desk.call()[1]["setVariableData"]}
    assert {variable.name for variable in changes} == set(asked)
    assert changes[INTERVAL] == ChangedSetting(variable=INTERVAL, former="60", ours=("10",), set_at_s=desk.now_s)
    assert all(change.ours[-1] == asked[variable.name] for variable, change in changes.items())


def test_only_what_has_been_read_is_set_since_nothing_else_could_be_given_back(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    del compliant[NAME]
    model = model_of(desk, compliant)
    found = model.serve()
    assert NAME not in model.asked("SetVariables")
    assert found.refusals == (f"The station names no {NAME}: nothing is known of its sampling.",)
    assert found.meter_interval_s is None


def test_what_the_station_refused_is_told_and_what_it_did_not_answer_is_not(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, compliant, refused=frozenset({NAME}))
    assert model.serve().refused_settings == (INTERVAL,)
    desk.open_booted("S2")
    model = model_of(desk, compliant)
    while desk.calls("S2") and desk.call("S2")[0] != "SetVariables":
        model.serve_one("S2")
    desk.ignore("S2")
    desk.wait(30)
    found = desk.happened(CapabilitiesDiscovered)[-1]
    assert (found.station_id, found.refused_settings) == ("S2", ())
    assert len(found.refusals) == 4
    assert "no usable answer" in found.refusals[0]


def test_b05_a_value_that_requires_a_reboot_is_not_taken_for_set_and_asked_after_the_reboot(
    desk: Any, model_of: Make, compliant: Values
) -> None:
    desk.open_booted()
    found = model_of(desk, compliant, later=frozenset({NAME})).serve()
    assert (found.meter_interval_s, found.awaits_reboot, found.refused_settings) == (60.0, True, ())
    assert found.refusals == (f"{NAME} is set once the station has booted again.",)
    desk.boot()
    found = model_of(desk, compliant | {NAME: "10"}).serve()
    assert (found.meter_interval_s, found.awaits_reboot) == (10.0, False)
    desk.boot()
    assert desk.calls() == []


def test_a_reboot_that_is_awaited_is_not_forgotten_over_a_reconnect(desk: Any) -> None:
    desk.open_known()
    evses = desk.happened(CapabilitiesDiscovered)
    assert evses == []
    known = DiscoveryRecord(
        station_id=S1, identity=StationIdentity.unknown(), evses=(), set_up_for=desk.settings.sampling_asked, awaits_reboot=True
    )
    desk.open(known=known)
    desk.boot()
    assert desk.call()[0] == "GetVariables"


def test_a_call_with_too_many_wishes_is_sent_in_parts(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    values = {name: value for name, value in compliant.items() if "[SetVariables]" not in name}
    model = model_of(desk, values)
    served_up_to(desk, model, "SetVariables")
    model.limit = 1
    found = model.serve()
    assert (found.refusals, found.meter_interval_s) == ((), 10.0)


@pytest.mark.parametrize("refused", [frozenset(), frozenset({NAME})])
def test_settings_are_given_back_and_left_alone_from_then_on(desk: Any, model_of: Make, compliant: Values, refused: frozenset[str]) -> None:
    desk.open_booted()
    model = model_of(desk, compliant)
    model.serve()
    changes = tuple(change for event in desk.happened(SettingsChanging) for change in event.changes)
    desk.events.clear()
    model.refused, model.messages = refused, []
    desk.discover(S1, Errand(set_up=False, give_back=changes))
    found = model.serve()
    given = {variable.name for variable in found.given_back}
    assert given == {change.variable.name for change in changes} - {name.partition(".")[2] for name in refused}
    assert all(model.values[str(change.variable)] == change.former for change in changes if change.variable in found.given_back)
    assert found.set_up_for is None
    assert found.meter_interval_s == (10.0 if refused else 60.0)
    assert desk.happened(SettingsChanging) == [], "what is given back is no change of ours"
    assert len(found.refusals) == len(refused)
    # New firmware: what it can do is asked, what it is set to is left alone.
    desk.says("FirmwareStatusNotification", {"status": "Installed"})
    model.messages = []
    model.serve()
    assert "SetVariables" not in {action for action, _ in model.messages}
    desk.discover(S1, Errand())
    assert model.serve().meter_interval_s == 10.0 or refused


def test_l01_installed_firmware_voids_what_was_learned_and_it_is_asked_again(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_known()
    desk.says("FirmwareStatusNotification", {"status": "Downloading"})
    assert desk.calls() == []
    desk.says("FirmwareStatusNotification", {"status": "Installed"})
    [outdated] = desk.happened(CapabilitiesOutdated)
    assert outdated.why == "new firmware was installed"
    assert desk.call()[0] == "GetVariables"
    # It boots before it has answered, and with the same version: the record says that it is void.
    desk.open(known=DiscoveryRecord(station_id=S1, identity=StationIdentity.unknown(), evses=(), outdated=outdated.why))
    assert model_of(desk, compliant).serve().evses[0].reason == "CentralSetpoint in W"


def test_a_station_that_is_not_there_cannot_be_asked(desk: Any) -> None:
    assert desk.csms.discover(S1, Errand(), desk.now_s) is None
    desk.open()
    assert desk.csms.discover(S1, Errand(), desk.now_s) is None, "it has not booted"


def test_asked_for_in_the_middle_of_a_discovery_it_begins_anew(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, compliant)
    model.serve_one()
    desk.discover(S1, Errand(set_up=False))
    found = model.serve()
    assert found.set_up_for is None
    assert len(desk.happened(CapabilitiesDiscovered)) == 1
    assert desk.csms.counters.discovering == 0
