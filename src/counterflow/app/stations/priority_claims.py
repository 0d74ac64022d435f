"""SetpointPriority at stations where a local system can set the power: claimed where we lead, given back where we do not (3.5).

The value that the station had is remembered like that of every variable that we set, so that it comes back with the others on request.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from counterflow.app.stations.registry import Registry
from counterflow.domain.conflicts import Leader
from counterflow.domain.ids import StationId
from counterflow.domain.setpoints import CommandResult, RawAnswer
from counterflow.domain.station_settings import ChangedSetting, StationVariable, same_value
from counterflow.domain.telemetry import SettingsChanging
from counterflow.engine.conflicts.settings import ClaimPriority
from counterflow.engine.conflicts.verdict import priority_unclear

VARIABLE: Final = StationVariable("SmartChargingCtrlr", "SetpointPriority")
OURS: Final = "CSMS"
SUBPROTOCOL: Final = "ocpp2.1"
"""Older versions have neither setpoints nor this variable."""


class Call(Protocol):
    """Send any request to a station; `done` gets what came of it."""

    def __call__(
        self, station_id: StationId, action: str, payload: dict[str, Any], now_s: float, done: Callable[[CommandResult], None]
    ) -> None: ...


class PriorityClaims:
    """One message a station at a time. `settled` is called when a station has taken a value."""

    def __init__(
        self,
        *,
        registry: Registry,
        leader_at: Callable[[StationId], Leader | None],
        call: Call,
        settled: Callable[[StationId, float], None],
        when: ClaimPriority,
    ) -> None:
        self._registry = registry
        self._leader_at = leader_at
        self._call = call
        self._settled = settled
        self._when = when
        self._under_way: set[StationId] = set()

    def look(self, station_id: StationId, now_s: float) -> None:
        """Discovery is through, or the operator of the site has said who has priority there: set what is to be set."""
        known = self._registry.discoveries.get(station_id)
        if known is None or known.hands_off or known.subprotocol != SUBPROTOCOL or station_id in self._under_way:
            return
        told = next((evse.setpoint_priority for evse in known.evses if evse.setpoint_priority is not None), None)
        if told is None:
            return  # it has no such variable
        claimed = self._claimed(station_id)
        if self._leads(station_id):
            if any(priority_unclear(evse) for evse in known.evses):
                self._claim(station_id, told, now_s)
        elif claimed is not None and not same_value(told, claimed.former):
            self._set(station_id, claimed.former, now_s)

    def _leads(self, station_id: StationId) -> bool:
        leader = self._leader_at(station_id)
        match self._when:
            case "confirmed":
                return leader is Leader.US
            case "always":
                return leader is not Leader.THEM
            case "never":
                return False

    def _claimed(self, station_id: StationId) -> ChangedSetting | None:
        former = self._registry.former.get(station_id)
        return None if former is None else next((one for one in former.changes if one.variable == VARIABLE), None)

    def _claim(self, station_id: StationId, told: str, now_s: float) -> None:
        # What was there is durable before the message leaves.
        change = ChangedSetting(variable=VARIABLE, former=told, ours=(OURS,), set_at_s=now_s)
        self._registry.changing(SettingsChanging(station_id=station_id, at_s=now_s, changes=(change,)))
        self._set(station_id, OURS, now_s)

    def _set(self, station_id: StationId, value: str, now_s: float) -> None:
        self._under_way.add(station_id)
        wanted = {"component": {"name": VARIABLE.component}, "variable": {"name": VARIABLE.name}, "attributeValue": value}
        self._call(
            station_id, "SetVariables", {"setVariableData": [wanted]}, now_s, lambda result: self._done(station_id, value, result, now_s)
        )

    def _done(self, station_id: StationId, value: str, result: CommandResult, now_s: float) -> None:
        self._under_way.discard(station_id)
        status = _status(result)
        if status == "Accepted":
            self._registry.setpoint_priority(station_id, value)
        claimed = self._claimed(station_id)
        given_back = claimed is not None and same_value(value, claimed.former)
        never_lost = claimed is not None and claimed.set_at_s == now_s
        # Without a usable answer nobody knows: the former value stays remembered, and the next discovery tells.
        if (status == "Accepted" and given_back) or (status not in ("", "Accepted", "RebootRequired") and not given_back and never_lost):
            self._registry.forget_change(station_id, VARIABLE)
        if status == "Accepted":
            self._settled(station_id, now_s)


def _status(result: CommandResult) -> str:
    """attributeStatus of the one variable; "" = no usable answer."""
    if not isinstance(result, RawAnswer) or result.payload is None:
        return ""
    results = result.payload.get("setVariableResult")
    first = results[0] if isinstance(results, list) and results else None
    return str(first.get("attributeStatus", "")) if isinstance(first, dict) else ""
