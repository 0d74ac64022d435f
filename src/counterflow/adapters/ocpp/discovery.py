"""What a station can do, asked of its device model (OCPP 2.1 B05, B06), and the sampling that we ask of it.

The dialogue is written once, as a generator: it yields what to ask and is sent what came of it. `Discovery` feeds it; both know no
clock and no connection. Whatever a station answers, or does not, the end is a `CapabilitiesDiscovered` with a reason in words.
"""

from collections.abc import Generator, Iterable, Sequence
from math import isfinite
from typing import Final, NamedTuple

from msgspec import UNSET, Struct, UnsetType

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.events import Answered, CallOutcome, ErrorAnswer, TimedOut
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.resources import ControlMode, EvseCapability, StationIdentity
from counterflow.domain.telemetry import CapabilitiesDiscovered

BATCH_DEFAULT: Final = 10
BATCH_MAX: Final = 20
BATCH_SMALL: Final = 4
MAX_EVSES: Final = 64
"""EVSEs beyond this many are not asked for: no station has them, but a broken one may name them."""
NO_ANSWER: Final = "the station did not answer"
"""How the reasons begin that a later connection may cure."""
_HOPELESS: Final = frozenset({"NotSupported", "NotImplemented", "SecurityError"})


class Variable(NamedTuple):
    """One variable of the device model; `evse_id` 0 = of the station."""

    component: str
    name: str
    instance: str = ""
    evse_id: int = 0
    attribute: ocpp.AttributeEnumType = "Actual"

    def key(self) -> tuple[str, str, str, int]:
        """Identifiers are compared without case (part 2, datatypes)."""
        return self.component.casefold(), self.name.casefold(), self.instance.casefold(), self.evse_id


GET_LIMIT: Final = Variable("DeviceDataCtrlr", "ItemsPerMessage", "GetVariables")
SET_LIMIT: Final = Variable("DeviceDataCtrlr", "ItemsPerMessage", "SetVariables")
RATE_UNIT: Final = Variable("SmartChargingCtrlr", "RateUnit")
STACK_LEVEL: Final = Variable("SmartChargingCtrlr", "ProfileStackLevel")
SMART_ENABLED: Final = Variable("SmartChargingCtrlr", "Enabled")
SMART_AVAILABLE: Final = Variable("SmartChargingCtrlr", "Available")
DYNAMIC: Final = (
    Variable("SmartChargingCtrlr", "SupportsFeature", "DynamicProfiles"),
    Variable("SmartChargingCtrlr", "SupportsDynamicProfiles"),
)
OFFLINE: Final = (
    Variable("SmartChargingCtrlr", "SupportsFeature", "MaxOfflineDuration"),
    Variable("SmartChargingCtrlr", "SupportsMaxOfflineDuration"),
)
V2X_ENABLED: Final = Variable("V2XChargingCtrlr", "Enabled")
V2X_MODES: Final = Variable("V2XChargingCtrlr", "SupportedOperationModes")
V2X_INTERVAL: Final = Variable("V2XChargingCtrlr", "TxUpdatedInterval", "CentralSetpoint")
DISCHARGE_POWER: Final = Variable("EVSE", "DischargePower", attribute="MaxSet")
INTERVAL: Final = Variable("SampledDataCtrlr", "TxUpdatedInterval")
MEASURANDS: Final = tuple(
    Variable("SampledDataCtrlr", name) for name in ("TxUpdatedMeasurands", "TxStartedMeasurands", "TxEndedMeasurands")
)
STATION_VARIABLES: Final = (
    SMART_ENABLED, SMART_AVAILABLE, RATE_UNIT, STACK_LEVEL, *DYNAMIC, *OFFLINE, V2X_ENABLED, V2X_MODES, INTERVAL, *MEASURANDS,
)  # fmt: skip
EVSE_VARIABLES: Final = (V2X_ENABLED, V2X_MODES, V2X_INTERVAL, DISCHARGE_POWER)


class Ask(NamedTuple):
    """A call to make; the script is sent its `CallOutcome`."""

    action: str
    request: Struct


class AwaitReport(NamedTuple):
    """Wait for the NotifyReport messages of this request; the script is sent their values lists by variable, or None."""

    request_id: int


ValuesLists = dict[tuple[str, str, str, int], str]
Script = Generator[Ask | AwaitReport, CallOutcome | ValuesLists | None, None]


class _GivenUpError(Exception):
    """The station cannot be asked; the text says why."""


class Discovery:
    """One station's discovery. Call `next_call` until it gives None, hand in every outcome; at the end `result` is there.

    `evse_ids` may grow while it runs. `report_deadline_s` is set while a report is awaited.
    """

    __slots__ = ("_asking", "_batch", "_evse_ids", "_identity", "_interval_s", "_lists", "_refusals", "_report", "_script", "_set_batch",
                 "_settings", "_values", "report_deadline_s", "result")  # fmt: skip

    def __init__(self, settings: OcppSettings, identity: StationIdentity, evse_ids: list[EvseId]) -> None:
        self._settings = settings
        self._identity = identity
        self._evse_ids = evse_ids
        self._values: dict[tuple[str, str, str, int], str] = {}
        self._refusals: list[str] = []
        self._interval_s: float | None = None
        self._batch = self._set_batch = BATCH_DEFAULT
        self._report: int | None = None
        self._lists: ValuesLists = {}
        self.report_deadline_s: float | None = None
        self.result: tuple[EvseCapability, ...] | None = None
        self._asking: Ask | None = None
        self._script = self._run()
        self._advance(None)

    # ---- feeding the script

    def next_call(self) -> Ask | None:
        """What to send now; each is handed out once. None while an answer is awaited, and at the end."""
        asking, self._asking = self._asking, None
        return asking

    def answered(self, outcome: CallOutcome, now_s: float) -> None:
        """The call that was handed out has ended like this."""
        self._advance(outcome)
        if self._report is not None:
            self.report_deadline_s = now_s + self._settings.call_timeout_s

    def reported(self, request: ocpp.NotifyReportRequest) -> None:
        """A part of a report has come in, maybe of someone else's."""
        if request.request_id != self._report:
            return
        for entry in () if request.report_data is UNSET else request.report_data:
            characteristics = entry.variable_characteristics
            if characteristics is not UNSET and characteristics.values_list is not UNSET:
                self._lists[_key_of(entry.component, entry.variable)] = characteristics.values_list
        if request.tbc is not True:
            self._end_report()

    def on_deadline(self, now_s: float) -> None:
        """Go on without the report if its time has come."""
        if self.report_deadline_s is not None and now_s >= self.report_deadline_s:
            self._end_report()

    def event(self, station_id: StationId, now_s: float) -> CapabilitiesDiscovered:
        """What came of it, once `result` is there."""
        return CapabilitiesDiscovered(
            station_id=station_id,
            at_s=now_s,
            evses=self.result or (),
            meter_interval_s=self._interval_s,
            refusals=tuple(self._refusals),
        )

    def _end_report(self) -> None:
        self._report = self.report_deadline_s = None
        self._advance(self._lists)

    def _advance(self, value: CallOutcome | ValuesLists | None) -> None:
        try:
            step = self._script.send(value)
        except StopIteration:
            return
        match step:
            case Ask():
                self._asking = step
            case AwaitReport():
                self._report = step.request_id

    # ---- the script

    def _run(self) -> Script:
        asked = 0
        try:
            yield from self._read_all((GET_LIMIT, SET_LIMIT))
            self._batch = self._limit(GET_LIMIT)
            self._set_batch = self._limit(SET_LIMIT)
            variables = list(STATION_VARIABLES)
            while asked < len(self._evse_ids):
                evse_ids = self._evse_ids[asked:]
                asked += len(evse_ids)
                yield from self._read_all([*variables, *(v._replace(evse_id=evse) for evse in evse_ids for v in EVSE_VARIABLES)])
                variables = []
            yield from self._set_sampling()
        except _GivenUpError as reason:
            self.result = tuple(
                EvseCapability(evse_id=evse_id, control_mode=ControlMode.NONE, reason=str(reason)) for evse_id in self._evse_ids
            )
            self._refusals.append(f"{reason}.")
            return
        self.result = tuple(_capability(evse_id, self._values, self._identity, self._settings) for evse_id in self._evse_ids[:asked])

    def _limit(self, variable: Variable) -> int:
        number = _number(self._values.get(variable.key()))
        return BATCH_DEFAULT if number is None else max(1, min(BATCH_MAX, int(number)))

    def _read_all(self, variables: Sequence[Variable]) -> Script:
        """GetVariables in as many messages as it takes (B06.FR.05); values land in `_values`."""
        left = list(variables)
        while left:
            batch = left[: self._batch]
            asked = [ocpp.GetVariableDataType(component=_component(v), variable=_variable(v), attribute_type=_attribute(v)) for v in batch]
            outcome = yield Ask("GetVariables", ocpp.GetVariablesRequest(get_variable_data=asked))
            match outcome:
                case Answered():
                    self._keep(batch, outcome.response.get_variable_result)
                    left = left[len(batch) :]
                case TimedOut():
                    raise _GivenUpError(f"{NO_ANSWER} GetVariables")
                case ErrorAnswer() if outcome.code in _HOPELESS or (len(batch) <= BATCH_SMALL and batch[0] != GET_LIMIT):
                    raise _GivenUpError(f"the station refuses GetVariables ({outcome.code})")
                case _ if batch[0] == GET_LIMIT:
                    return
                case _ if len(batch) > BATCH_SMALL:
                    self._batch = BATCH_SMALL
                case _:
                    raise _GivenUpError("the station's answer to GetVariables cannot be read")

    def _keep(self, batch: Sequence[Variable], results: Sequence[ocpp.GetVariableResultType]) -> None:
        """By name; by place where the names do not fit (some stations leave out the EVSE)."""
        by_name = {_key_of(result.component, result.variable): result for result in results}
        for place, variable in enumerate(batch):
            result = by_name.get(variable.key())
            if result is None and len(results) == len(batch) and results[place].variable.name.casefold() == variable.name.casefold():
                result = results[place]
            if result is not None and result.attribute_status == "Accepted" and result.attribute_value is not UNSET:
                self._values[variable.key()] = result.attribute_value

    def _set_sampling(self) -> Script:
        interval, measurands = str(self._settings.sampling_interval_s), ",".join(self._settings.measurands)
        wanted = {INTERVAL: interval} | dict.fromkeys(MEASURANDS, measurands)
        for evse_id in self._evse_ids:
            faster = V2X_INTERVAL._replace(evse_id=evse_id)
            if faster.key() in self._values:
                wanted[faster] = interval
        refused = yield from self._write(wanted)
        if INTERVAL not in refused:
            self._interval_s = float(interval)
        lists = [variable for variable, why in refused.items() if variable in MEASURANDS and why.startswith("Rejected")]
        if lists:
            narrowed = yield from self._narrow(lists)
            for variable in narrowed:
                del refused[variable]
            refused |= yield from self._write(narrowed)
        self._refusals += [f"The station did not set {_words(variable)}: {why}." for variable, why in refused.items()]

    def _write(self, wanted: dict[Variable, str]) -> Generator[Ask | AwaitReport, CallOutcome | ValuesLists | None, dict[Variable, str]]:
        """SetVariables for what is not so already; returns what was refused, with the reason in words."""
        refused: dict[Variable, str] = {}
        left = [(variable, value) for variable, value in wanted.items() if not _same(self._values.get(variable.key()), value)]
        while left:
            batch = left[: self._set_batch]
            left = left[len(batch) :]
            items = [ocpp.SetVariableDataType(attribute_value=value, component=_component(v), variable=_variable(v)) for v, value in batch]
            outcome = yield Ask("SetVariables", ocpp.SetVariablesRequest(set_variable_data=items))
            if isinstance(outcome, Answered):
                refused |= _refusals([variable for variable, _ in batch], outcome.response.set_variable_result)
            else:
                why = f"CALLERROR {outcome.code}" if isinstance(outcome, ErrorAnswer) else "no usable answer"
                refused |= dict.fromkeys((variable for variable, _ in batch), why)
        return refused

    def _narrow(self, variables: Sequence[Variable]) -> Generator[Ask | AwaitReport, CallOutcome | ValuesLists | None, dict[Variable, str]]:
        """The measurands that the station knows, from the values lists of a report; without one, those of OCPP 2.0.1."""
        asked = [ocpp.ComponentVariableType(component=_component(v), variable=_variable(v)) for v in variables]
        request_id = 1
        outcome = yield Ask("GetReport", ocpp.GetReportRequest(request_id=request_id, component_variable=asked))
        lists: ValuesLists = {}
        if isinstance(outcome, Answered) and outcome.response.status == "Accepted":
            report = yield AwaitReport(request_id)
            lists = report if isinstance(report, dict) else {}
        narrowed = {}
        for variable in variables:
            known = _members(lists.get(variable.key()))
            names = [name for name in self._settings.measurands if (name.casefold() in known if known else name in _OLDER_MEASURANDS)]
            if names and len(names) < len(self._settings.measurands):
                narrowed[variable] = ",".join(names)
        return narrowed


_OLDER_MEASURANDS: Final = frozenset(
    {"Power.Active.Import", "Power.Active.Export", "SoC", "Energy.Active.Import.Register", "Energy.Active.Export.Register"}
)


def _capability(
    evse_id: EvseId, values: dict[tuple[str, str, str, int], str], identity: StationIdentity, settings: OcppSettings
) -> EvseCapability:
    def value(variable: Variable) -> str | None:
        of_evse = values.get(variable._replace(evse_id=evse_id).key())
        return values.get(variable.key()) if of_evse is None else of_evse

    modes, units = _list(value(V2X_MODES)), _list(value(RATE_UNIT))
    dynamic = _flag(value(spelling) for spelling in DYNAMIC)
    power_w, level = _number(value(DISCHARGE_POWER)), _number(value(STACK_LEVEL))
    mode, reason = _control_mode(
        modes,
        units,
        dynamic is True,
        smart_off=_flag([value(SMART_AVAILABLE)]) is False or _flag([value(SMART_ENABLED)]) is False,
        v2x_off=_flag([value(V2X_ENABLED)]) is False,
    )
    model = f"{identity.vendor_name}/{identity.model}"
    if mode is ControlMode.NONE and model.casefold() in {name.casefold() for name in settings.negative_limit_models}:
        mode, reason = ControlMode.NEGATIVE_LIMIT, f"the settings name {model} as a model that discharges on a negative limit"
    return EvseCapability(
        evse_id=evse_id,
        control_mode=mode,
        reason=reason,
        max_discharge_power_w=None if power_w is None else abs(power_w),
        max_stack_level=None if level is None or level < 0 else int(level),
        operation_modes=modes,
        rate_units=units,
        dynamic_profiles=dynamic,
        max_offline_duration=_flag(value(spelling) for spelling in OFFLINE),
    )


def _control_mode(
    modes: tuple[str, ...], units: tuple[str, ...], dynamic: bool, *, smart_off: bool, v2x_off: bool
) -> tuple[ControlMode, str]:
    if smart_off:
        return ControlMode.NONE, "smart charging is off (SmartChargingCtrlr)"
    if v2x_off:
        return ControlMode.NONE, "V2X charging is off (V2XChargingCtrlr.Enabled)"
    if not modes:
        return ControlMode.NONE, "the station names no V2XChargingCtrlr.SupportedOperationModes"
    if "centralsetpoint" not in {mode.casefold() for mode in modes}:
        return ControlMode.NONE, f"CentralSetpoint is not among the supported operation modes ({', '.join(modes)})"
    if not {"w", "power"} & {unit.casefold() for unit in units}:
        return ControlMode.NONE, f"profiles in W are not accepted (RateUnit: {', '.join(units) or 'not said'})"
    if dynamic:
        return ControlMode.DYNAMIC, "CentralSetpoint in W, dynamic profiles too"
    return ControlMode.SETPOINT, "CentralSetpoint in W"


def _refusals(asked: Sequence[Variable], results: Sequence[ocpp.SetVariableResultType]) -> dict[Variable, str]:
    by_name = {_key_of(result.component, result.variable): result for result in results}
    refused = {}
    for place, variable in enumerate(asked):
        result = by_name.get(variable.key()) or (results[place] if len(results) == len(asked) else None)
        if result is None:
            refused[variable] = "no result"
        elif result.attribute_status != "Accepted":
            info = result.attribute_status_info
            refused[variable] = result.attribute_status if info is UNSET else f"{result.attribute_status}, {info.reason_code}"
    return refused


def _component(variable: Variable) -> ocpp.ComponentType:
    return ocpp.ComponentType(name=variable.component, evse=ocpp.EVSEType(id=variable.evse_id) if variable.evse_id else UNSET)


def _variable(variable: Variable) -> ocpp.VariableType:
    return ocpp.VariableType(name=variable.name, instance=variable.instance or UNSET)


def _attribute(variable: Variable) -> ocpp.AttributeEnumType | UnsetType:
    return UNSET if variable.attribute == "Actual" else variable.attribute


def _key_of(component: ocpp.ComponentType, variable: ocpp.VariableType) -> tuple[str, str, str, int]:
    instance = "" if variable.instance is UNSET else variable.instance.casefold()
    return component.name.casefold(), variable.name.casefold(), instance, 0 if component.evse is UNSET else component.evse.id


def _words(variable: Variable) -> str:
    instance = f"[{variable.instance}]" if variable.instance else ""
    evse = f" of EVSE {variable.evse_id}" if variable.evse_id else ""
    return f"{variable.component}.{variable.name}{instance}{evse}"


def _list(value: str | None) -> tuple[str, ...]:
    return tuple(member.strip() for member in (value or "").split(",") if member.strip())


def _members(value: str | None) -> frozenset[str]:
    return frozenset(member.casefold() for member in _list(value))


def _same(now: str | None, wanted: str) -> bool:
    return now is not None and _members(now) == _members(wanted)


def _flag(values: Iterable[str | None]) -> bool | None:
    """True if any spelling says so, None if none is known."""
    said = [value.strip().casefold() == "true" for value in values if value is not None and value.strip()]
    return any(said) if said else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and isfinite(number) else None
