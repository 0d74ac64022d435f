"""Which samples are wished for: what exists, what the values list admits, and only where it is not good enough as it is."""

from typing import Any

import pytest

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.discovery.sampling import narrowed, wishes
from counterflow.adapters.ocpp.discovery.values import DeviceModel
from counterflow.adapters.ocpp.discovery.variables import Variable
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.domain.ids import EvseId

REGISTERS = "Energy.Active.Import.Register,Energy.Active.Export.Register"
ALIGNED = {"Interval": "0", "Measurands": "", "TxEndedInterval": "0", "TxEndedMeasurands": ""}


def wished(values: dict[str, str], lists: dict[str, str] | None = None, evses: int = 1, **settings: Any) -> dict[str, str]:
    """What is wished for a station with these variables, by name."""
    model = DeviceModel()
    entries = [
        ocpp.ReportDataType(
            component=ocpp.ComponentType(name=component, evse=ocpp.EVSEType(id=1) if component.startswith("V2X") else ocpp.UNSET),
            variable=ocpp.VariableType(name=variable, instance="CentralSetpoint" if component.startswith("V2X") else ocpp.UNSET),
            variable_attribute=[ocpp.VariableAttributeType(value=value)],
            variable_characteristics=ocpp.VariableCharacteristicsType(
                data_type="string", supports_monitoring=False, values_list=(lists or {}).get(f"{component}.{variable}", ocpp.UNSET)
            ),
        )
        for component, variable, value in ((*name.split(".", 1), value) for name, value in values.items())
    ]
    model.keep_report(entries)
    found = wishes(model, OcppSettings(**settings), [EvseId(number + 1) for number in range(evses)])
    return {f"{variable.component}.{variable.name}": value for variable, value in found.items()}


def test_a_station_without_the_variables_is_left_alone() -> None:
    assert wished({}) == {}


def test_q01_fr_33_the_pace_under_a_setpoint_is_set_where_it_exists() -> None:
    found = wished({"V2XChargingCtrlr.TxUpdatedInterval": "60", "V2XChargingCtrlr.TxUpdatedMeasurands": ""}, sampling_interval_s=5)
    assert found["V2XChargingCtrlr.TxUpdatedInterval"] == "5"
    assert "SoC" in found["V2XChargingCtrlr.TxUpdatedMeasurands"].split(",")


def test_the_general_pace_may_be_slower_only_where_every_evse_has_one_of_its_own() -> None:
    both = {"V2XChargingCtrlr.TxUpdatedInterval": "60", "SampledDataCtrlr.TxUpdatedInterval": "0"}
    assert wished(both, idle_sampling_interval_s=30)["SampledDataCtrlr.TxUpdatedInterval"] == "30"
    assert wished(both, evses=2, idle_sampling_interval_s=30)["SampledDataCtrlr.TxUpdatedInterval"] == "10"
    general = {"SampledDataCtrlr.TxUpdatedInterval": "60"}
    assert wished(general, idle_sampling_interval_s=30) == {"SampledDataCtrlr.TxUpdatedInterval": "10"}


@pytest.mark.parametrize(
    ("known", "value"), [("SoC,Voltage", "SoC"), ("power.active.import,soc", "Power.Active.Import,SoC"), ("Voltage", None)]
)
def test_only_what_the_values_list_admits_is_wished(known: str, value: str | None) -> None:
    name = "SampledDataCtrlr.TxUpdatedMeasurands"
    assert wished({name: "Voltage"}, {name: known}).get(name) == value


def test_a_list_in_another_order_is_not_set_again() -> None:
    name = "SampledDataCtrlr.TxUpdatedMeasurands"
    assert wished({name: ", ".join(reversed(OcppSettings().measurands)).upper()}) == {}


@pytest.mark.parametrize(("now", "set_to"), [("0", "900"), ("600", "900"), ("1800", "900"), ("900", None), ("300", None), ("60", None)])
def test_registers_come_by_the_clock_and_a_finer_pace_stays(now: str, set_to: str | None) -> None:
    values = {f"AlignedDataCtrlr.{name}": value for name, value in ALIGNED.items()}
    found = wished(values | {"AlignedDataCtrlr.Interval": now})
    assert found.get("AlignedDataCtrlr.Interval") == set_to
    assert found["AlignedDataCtrlr.Measurands"] == REGISTERS
    assert found["AlignedDataCtrlr.TxEndedInterval"] == "900"
    assert found["AlignedDataCtrlr.TxEndedMeasurands"] == REGISTERS


def test_what_the_operator_has_aligned_stays_and_registers_are_added() -> None:
    found = wished({"AlignedDataCtrlr.Interval": "900", "AlignedDataCtrlr.Measurands": "Voltage,energy.active.import.register"})
    assert found == {"AlignedDataCtrlr.Measurands": "Voltage,energy.active.import.register,Energy.Active.Export.Register"}


@pytest.mark.parametrize(("idle", "set_to"), [("true", "false"), ("false", None)])
def test_send_during_idle_is_touched_only_where_it_would_stop_aligned_data(idle: str, set_to: str | None) -> None:
    found = wished({"AlignedDataCtrlr.Interval": "900", "AlignedDataCtrlr.SendDuringIdle": idle})
    assert found.get("AlignedDataCtrlr.SendDuringIdle") == set_to


def test_aligned_data_can_be_left_alone() -> None:
    values = {f"AlignedDataCtrlr.{name}": value for name, value in ALIGNED.items()}
    assert wished(values | {"AlignedDataCtrlr.SendDuringIdle": "true"}, aligned_interval_s=0) == {}


def test_sampling_that_is_off_is_switched_on() -> None:
    values = {"SampledDataCtrlr.Enabled": "false", "AlignedDataCtrlr.Enabled": "false", "AlignedDataCtrlr.Interval": "900"}
    assert wished(values) == {"SampledDataCtrlr.Enabled": "true", "AlignedDataCtrlr.Enabled": "true"}


def test_what_every_station_should_know() -> None:
    assert narrowed("SoC,Power.Active.Setpoint,Voltage") == "SoC"


def test_names_are_compared_without_case() -> None:
    assert Variable("EVSE", "Power", "", 2).place() == Variable("evse", "POWER", "", 2).place()
