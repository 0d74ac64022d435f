"""A station's device model behind the desk, as it is, was, or should not be."""

from collections.abc import Callable
from typing import Any

import pytest

from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.domain.telemetry import CapabilitiesDiscovered

Values = dict[str, str]
_KINDS = {"Actual": "", "MaxSet": "!MaxSet", "MinSet": "!MinSet", "Target": "!Target"}


def name_of(item: dict[str, Any]) -> str:
    """`V2XChargingCtrlr@1.TxUpdatedInterval[CentralSetpoint]`, and `!MaxSet` for that attribute."""
    component, variable = item["component"], item["variable"]
    evse = f"@{component['evse']['id']}" if "evse" in component else ""
    instance = f"[{variable['instance']}]" if "instance" in variable else ""
    return f"{component['name']}{evse}.{variable['name']}{instance}{_KINDS[item.get('attributeType', 'Actual')]}"


def item_of(name: str) -> dict[str, Any]:
    """The way back, without the attribute."""
    place, _, variable = name.partition("!")[0].partition(".")
    component, _, evse = place.partition("@")
    variable, _, instance = variable.rstrip("]").partition("[")
    return {
        "component": {"name": component} | ({"evse": {"id": int(evse)}} if evse else {}),
        "variable": {"name": variable} | ({"instance": instance} if instance else {}),
    }


class DeviceModel:
    """`values` by name. `refused` variables answer SetVariables with Rejected, `later` with RebootRequired; `limit` = items it takes.

    `lists` and `maxima` are told in reports only. `reports` = which report requests it knows. `cuts` = it silently leaves out what is
    beyond its limit.
    """

    def __init__(
        self,
        desk: Any,
        values: Values,
        *,
        refused: frozenset[str] = frozenset(),
        later: frozenset[str] = frozenset(),
        limit: int = 1000,
        cuts: bool = False,
        knows: frozenset[str] = frozenset({"GetVariables", "SetVariables"}),
    ) -> None:
        self.desk, self.values, self.refused, self.later, self.limit, self.cuts = desk, dict(values), refused, later, limit, cuts
        self.knows = knows
        self.lists: Values = {}
        self.maxima: dict[str, float] = {}
        self.messages: list[tuple[str, list[str]]] = []
        self.written: Values = {}

    def serve(self, station: str = "S1") -> CapabilitiesDiscovered:
        """Answers until the CSMS asks no more; returns what it learned."""
        while self.desk.calls(station):
            self.serve_one(station)
        event: CapabilitiesDiscovered = self.desk.happened(CapabilitiesDiscovered)[-1]
        return event

    def serve_one(self, station: str = "S1") -> None:
        """Answer the one call in flight."""
        action, payload = self.desk.call(station)
        items = payload.get("getVariableData") or payload.get("setVariableData") or payload.get("componentVariable") or []
        self.messages.append((action, [name_of(item) for item in items]))
        taken = items[: self.limit] if self.cuts else items
        if action not in self.knows and not (action == "GetReport" and (self.lists or self.maxima)):
            self.desk.refuse("NotSupported", station=station)
        elif len(taken) > self.limit:
            self.desk.refuse("OccurrenceConstraintViolation", station=station)
        elif action == "GetVariables":
            self.desk.answer({"getVariableResult": [self.got(item) for item in taken]}, station)
        elif action == "SetVariables":
            self.desk.answer({"setVariableResult": [self._set(item) for item in items]}, station)
        else:
            self.desk.answer({"status": "Accepted"}, station)
            told = {name.partition("!")[0] for name in self.values} if action == "GetBaseReport" else {name_of(item) for item in items}
            self.report(
                payload["requestId"], [name for name in sorted(told) if action == "GetBaseReport" or self._is_listed(name)], station
            )

    def asked(self, action: str) -> list[str]:
        """Names of all variables in messages of this action."""
        return [name for one, names in self.messages if one == action for name in names]

    def _is_listed(self, name: str) -> bool:
        return name in self.lists or name in self.maxima

    def got(self, item: dict[str, Any]) -> dict[str, Any]:
        """One result of GetVariables."""
        value = self.values.get(name_of(item))
        if value is None:
            return {"attributeStatus": "UnknownVariable", **item}
        return {"attributeStatus": "Accepted", "attributeValue": value, **item}

    def _set(self, item: dict[str, Any]) -> dict[str, Any]:
        name = name_of(item)
        known = self.lists.get(name, item["attributeValue"]).split(",")
        fits = all(member in known for member in item["attributeValue"].split(","))
        status = "UnknownVariable" if name not in self.values else "Rejected" if name in self.refused or not fits else "Accepted"
        if status == "Accepted" and name in self.later:
            status = "RebootRequired"
        elif status == "Accepted":
            self.written[name] = self.values[name] = item["attributeValue"]
        return {"attributeStatus": status, "component": item["component"], "variable": item["variable"]}

    def report(self, request_id: int, names: list[str], station: str = "S1", *, ends: bool = True) -> None:
        """NotifyReport, one variable a message."""
        for seq_no, name in enumerate(names or [""]):
            more = {"reportData": [self._entry(name)]} if name else {}
            message = {"requestId": request_id, "generatedAt": "2026-11-22T12:00:00Z", "seqNo": seq_no}
            self.desk.says("NotifyReport", message | more | {"tbc": seq_no < len(names) - 1 or not ends}, station)

    def _entry(self, name: str) -> dict[str, Any]:
        attributes = [{"type": kind, "value": self.values[name + mark]} for kind, mark in _KINDS.items() if name + mark in self.values]
        said: dict[str, Any] = {"dataType": "string", "supportsMonitoring": False}
        if name in self.lists:
            said["valuesList"] = self.lists[name]
        if name in self.maxima:
            said["maxLimit"] = self.maxima[name]
        return {**item_of(name), "variableAttribute": attributes or [{"type": "Actual"}], "variableCharacteristics": said}


@pytest.fixture
def model_of() -> type[DeviceModel]:
    """`model_of(desk, values, limit=5)`: a station's device model behind the desk."""
    return DeviceModel


@pytest.fixture
def compliant() -> Values:
    """A V2X station that takes setpoints."""
    return {
        "DeviceDataCtrlr.ItemsPerMessage[GetVariables]": "20",
        "DeviceDataCtrlr.ItemsPerMessage[SetVariables]": "20",
        "SmartChargingCtrlr.Enabled": "true",
        "SmartChargingCtrlr.RateUnit": "W,A",
        "SmartChargingCtrlr.ProfileStackLevel": "9",
        "V2XChargingCtrlr@1.Enabled": "true",
        "V2XChargingCtrlr@1.SupportedOperationModes": "ChargingOnly,CentralSetpoint,CentralFrequency",
        "EVSE@1.DischargePower": "0",
        "EVSE@1.DischargePower!MaxSet": "11000",
        "SampledDataCtrlr.TxUpdatedInterval": "60",
        "SampledDataCtrlr.TxUpdatedMeasurands": "Power.Active.Import",
        "SampledDataCtrlr.TxStartedMeasurands": "Power.Active.Import",
        "SampledDataCtrlr.TxEndedMeasurands": "Power.Active.Import",
    }


@pytest.fixture
def wanted() -> str:
    """The measurands that the settings ask for."""
    return ",".join(OcppSettings().measurands)


@pytest.fixture
def with_evse() -> Callable[[Values, int], Values]:
    """`with_evse(values, 2)`: the variables of EVSE 1 for another one."""
    return lambda values, evse: values | {name.replace("@1", f"@{evse}"): value for name, value in values.items() if "@1" in name}
