"""Which samples we want of a station, as values of variables (OCPP 2.1 part 2, J; Q01.FR.33 to 35). Pure functions.

The rules: set only what exists, only to what its values list admits, and only where it is not good enough as it is.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from counterflow.adapters.ocpp.discovery.values import DeviceModel, members, names
from counterflow.adapters.ocpp.discovery.variables import (
    ALIGNED_ENABLED,
    ALIGNED_ENDED_INTERVAL,
    ALIGNED_ENDED_MEASURANDS,
    ALIGNED_IDLE,
    ALIGNED_INTERVAL,
    ALIGNED_MEASURANDS,
    INTERVAL,
    MEASURANDS,
    SAMPLED_ENABLED,
    V2X_INTERVAL,
    V2X_MEASURANDS,
    Variable,
)
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.domain.ids import EvseId

OLDER_MEASURANDS: Final = frozenset(
    {"Power.Active.Import", "Power.Active.Export", "SoC", "Energy.Active.Import.Register", "Energy.Active.Export.Register"}
)
"""Those that OCPP 2.0.1 has too."""
REGISTERS: Final = ("Energy.Active.Import.Register", "Energy.Active.Export.Register")

Wishes = dict[Variable, str]


def wishes(model: DeviceModel, settings: OcppSettings, evse_ids: Sequence[EvseId]) -> Wishes:
    """What is to be set; a value that is so already is not among them."""
    wanted = _sampled(model, settings, evse_ids) | _aligned(model, settings)
    return {variable: value for variable, value in wanted.items() if value and members(model.at(variable)) != members(value)}


def _sampled(model: DeviceModel, settings: OcppSettings, evse_ids: Sequence[EvseId]) -> Wishes:
    wanted: Wishes = {}
    if model.flag(SAMPLED_ENABLED) is False:
        wanted[SAMPLED_ENABLED] = "true"
    for variable in MEASURANDS:
        if model.at(variable) is not None:
            wanted[variable] = admitted(model, variable, settings.measurands)
    own_pace = True
    for evse_id in evse_ids:
        faster, with_it = V2X_INTERVAL._replace(evse_id=evse_id), V2X_MEASURANDS._replace(evse_id=evse_id)
        own_pace = own_pace and model.at(faster) is not None
        if model.at(faster) is not None:
            wanted[faster] = str(settings.sampling_interval_s)
        if model.at(with_it) is not None:
            wanted[with_it] = admitted(model, with_it, settings.measurands)
    if model.at(INTERVAL) is not None:
        wanted[INTERVAL] = str(settings.idle_interval_s if own_pace else settings.sampling_interval_s)
    return wanted


def _aligned(model: DeviceModel, settings: OcppSettings) -> Wishes:
    """Registers at the full quarters of an hour, for settlement; what the operator has there stays."""
    every_s = settings.aligned_interval_s
    if every_s == 0 or model.at(ALIGNED_INTERVAL) is None:
        return {}
    wanted: Wishes = {}
    if model.flag(ALIGNED_ENABLED) is False:
        wanted[ALIGNED_ENABLED] = "true"
    for variable in (ALIGNED_INTERVAL, ALIGNED_ENDED_INTERVAL):
        now = model.whole(variable)
        if model.at(variable) is not None and (not now or every_s % now):
            wanted[variable] = str(every_s)
    for variable in (ALIGNED_MEASURANDS, ALIGNED_ENDED_MEASURANDS):
        if model.at(variable) is not None:
            wanted[variable] = _added(model, variable, REGISTERS)
    if model.flag(ALIGNED_IDLE) is True:
        wanted[ALIGNED_IDLE] = "false"  # true = only while idle: it would stop during transactions, which we settle
    return wanted


def admitted(model: DeviceModel, variable: Variable, wanted: Iterable[str]) -> str:
    """Those of `wanted` that the values list admits; all of them while there is none."""
    known = model.values_list(variable)
    return ",".join(name for name in wanted if known is None or name.casefold() in known)


def narrowed(wanted: str) -> str:
    """After a refusal without a values list: what every station should know."""
    return ",".join(name for name in names(wanted) if name in OLDER_MEASURANDS)


def _added(model: DeviceModel, variable: Variable, wanted: Iterable[str]) -> str:
    there = names(model.at(variable))
    here = members(model.at(variable))
    more = [name for name in names(admitted(model, variable, wanted)) if name.casefold() not in here]
    return ",".join((*there, *more))
