"""How a simulated station is asked for its variables, and told to change them (OCPP 2.1 part 1, B05 to B08).

What it lacks, how much it takes in a message, and what it changes only at a reboot are its settings.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from counterflow.adapters.ocpp.messages import (
    ComponentType,
    ComponentVariableType,
    EVSEType,
    GetVariableDataType,
    GetVariableResultType,
    ReportDataType,
    SetVariableDataType,
    SetVariableResultType,
    SetVariableStatusEnumType,
    VariableAttributeType,
    VariableCharacteristicsType,
    VariableType,
)
from counterflow.sim.device_model import VARIABLES
from counterflow.sim.evse import SimEvse
from counterflow.sim.settings import StationSettings
from counterflow.sim.state import StationState
from counterflow.sim.variable import Variable

Key = tuple[str, str, str]


def _key(component: str, name: str, instance: str | UnsetType | None) -> Key:
    """Names are compared without case (part 2, datatypes)."""
    return component.casefold(), name.casefold(), instance.casefold() if isinstance(instance, str) else ""


def spelled(row: Variable) -> str:
    """As settings name it: `SampledDataCtrlr.TxUpdatedInterval`, `SmartChargingCtrlr.Entries[ChargingProfiles]`."""
    return f"{row.component}.{row.name}" + (f"[{row.instance}]" if row.instance else "")


@lru_cache(64)
def _rows_with(settings: StationSettings) -> tuple[dict[Key, Variable], frozenset[str]]:
    lacks = set(settings.lacks)
    rows = {
        _key(row.component, row.name, row.instance): row
        for row in VARIABLES
        if (row.needs is None or row.needs(settings)) and lacks.isdisjoint({row.component, f"{row.component}.{row.name}", spelled(row)})
    }
    return rows, frozenset(component for component, _, _ in rows)


def _rows(station: StationState) -> dict[Key, Variable]:
    """What this station has; looked up once, since settings are slow to hash."""
    if not station.variables:
        station.variables, station.components = _rows_with(station.settings)
    return station.variables


def _find(station: StationState, component: ComponentType, variable: VariableType) -> tuple[Variable, SimEvse] | None:
    row = _rows(station).get(_key(component.name, variable.name, variable.instance))
    if row is None:
        return None
    if isinstance(component.evse, UnsetType):
        return None if row.per_evse else (row, station.first_evse)
    evse = station.evses.get(component.evse.id)
    return (row, evse) if row.per_evse and evse is not None else None


def _is_known(station: StationState, component: ComponentType) -> bool:
    return component.name.casefold() in station.components


def too_much(settings: StationSettings, request: Any) -> bool:
    """Is a request about variables longer than this station takes in one message?"""
    items: list[Any] = next((getattr(request, field) for field in _ITEM_FIELDS if isinstance(getattr(request, field, None), list)), [])
    if len(items) > settings.items_per_message:
        return True
    return settings.bytes_per_message > 0 and len(items) > 0 and len(msgspec.json.encode(request)) > settings.bytes_per_message


_ITEM_FIELDS: Final = ("get_variable_data", "set_variable_data", "component_variable")


def get_variable(station: StationState, asked: GetVariableDataType, now_s: float) -> GetVariableResultType:
    """One result of GetVariables; Actual and MaxSet are the attributes that exist here."""
    found = _find(station, asked.component, asked.variable)
    attribute = asked.attribute_type
    if found is None:
        unknown = "UnknownVariable" if _is_known(station, asked.component) else "UnknownComponent"
        return GetVariableResultType(
            attribute_status=unknown,  # type: ignore[arg-type]  # one of two members of the enum, both spelled above
            component=asked.component,
            variable=asked.variable,
            attribute_type=attribute,
        )
    row, evse = found
    if row.write_only:
        return GetVariableResultType(
            attribute_status="Rejected", component=asked.component, variable=asked.variable, attribute_type=attribute
        )
    value: str | None = None
    if attribute is UNSET or attribute == "Actual":
        value = row.read(station, evse, now_s)
    elif attribute == "MaxSet" and row.maximum is not None:
        maximum = row.maximum(station, evse)
        value = None if maximum is None else f"{maximum:.0f}"
    return GetVariableResultType(
        attribute_status="NotSupportedAttributeType" if value is None else "Accepted",
        component=asked.component,
        variable=asked.variable,
        attribute_type=attribute,
        attribute_value=UNSET if value is None else value,
    )


def set_variable(station: StationState, wish: SetVariableDataType) -> SetVariableResultType:
    """One result of SetVariables; an accepted value is in force at once, one that requires a reboot after it."""
    found = _find(station, wish.component, wish.variable)
    status: SetVariableStatusEnumType
    if found is None:
        status = "UnknownVariable" if _is_known(station, wish.component) else "UnknownComponent"
    elif wish.attribute_type not in (UNSET, "Actual"):
        status = "NotSupportedAttributeType"
    elif spelled(found[0]) in station.settings.reboot_required and found[0].write is not None:
        station.at_reboot[spelled(found[0])] = wish.attribute_value
        status = "RebootRequired"
    else:
        write = found[0].write
        status = "Accepted" if write is not None and write(station, wish.attribute_value) else "Rejected"
    return SetVariableResultType(
        attribute_status=status, component=wish.component, variable=wish.variable, attribute_type=wish.attribute_type
    )


def rebooted(station: StationState) -> None:
    """What waited for a reboot is in force."""
    waiting, station.at_reboot = station.at_reboot, {}
    for row in _rows(station).values():
        if row.write is not None and spelled(row) in waiting:
            row.write(station, waiting[spelled(row)])


def report(station: StationState, now_s: float, asked: list[ComponentVariableType] | UnsetType = UNSET) -> Iterator[ReportDataType]:
    """Variables as NotifyReport carries them: those that are asked for, or all."""
    for row in _rows(station).values():
        for evse in station.evses.values() if row.per_evse else (station.first_evse,):
            if isinstance(asked, UnsetType) or any(_meant(row, evse, one) for one in asked):
                yield _entry(station, row, evse, now_s)


def _meant(row: Variable, evse: SimEvse, asked: ComponentVariableType) -> bool:
    """What is left out of the question holds for all (B08)."""
    if asked.component.name.casefold() != row.component.casefold():
        return False
    if not isinstance(asked.component.evse, UnsetType) and (not row.per_evse or asked.component.evse.id != evse.evse_id):
        return False
    if isinstance(asked.variable, UnsetType):
        return True
    instance = asked.variable.instance
    return asked.variable.name.casefold() == row.name.casefold() and (
        isinstance(instance, UnsetType) or instance.casefold() == (row.instance or "").casefold()
    )


def _entry(station: StationState, row: Variable, evse: SimEvse, now_s: float) -> ReportDataType:
    mutability: Any = "WriteOnly" if row.write_only else "ReadOnly" if row.write is None else "ReadWrite"
    value = UNSET if row.write_only else row.read(station, evse, now_s)
    attributes = [VariableAttributeType(type="Actual", value=value, mutability=mutability)]
    maximum = None if row.maximum is None else row.maximum(station, evse)
    if maximum is not None:
        attributes.append(VariableAttributeType(type="MaxSet", value=f"{maximum:.0f}", mutability="ReadOnly"))
    return ReportDataType(
        component=ComponentType(name=row.component, evse=EVSEType(id=evse.evse_id) if row.per_evse else UNSET),
        variable=VariableType(name=row.name, instance=UNSET if row.instance is None else row.instance),
        variable_attribute=attributes,
        variable_characteristics=VariableCharacteristicsType(
            data_type=row.kind,
            supports_monitoring=False,
            unit=UNSET if row.unit is None else row.unit,
            max_limit=UNSET if maximum is None else maximum,
            values_list=UNSET if row.values is None else row.values(station.settings),
        ),
    )
