"""What stations ask, answered by the handler of the action; and who may ask what before its BootNotification is accepted (B01 to B03)."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from counterflow.adapters.ocpp import events as rpc
from counterflow.adapters.ocpp.counters import OcppCounters
from counterflow.adapters.ocpp.handlers.context import WarningKind, warn_once
from counterflow.adapters.ocpp.line import NOTHING_INVITED, STANDINGS, Line, Standing
from counterflow.adapters.ocpp.policy import AuthorizationAnswer, BootStatus, Deferred
from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.telemetry import StationBooted, StationEvent

_CAR_ACTIONS = frozenset({"TransactionEvent", "NotifyEVChargingNeeds"})
_TELLING_ACTIONS = frozenset({"FirmwareStatusNotification", "SignedFirmwareStatusNotification", "BootNotification", "NotifyReport"})
"""What a line itself has to know of; the second is OCPP 1.6's, with signed firmware."""
_BOOT_STATUSES: Final = {str(status.value): status for status in BootStatus}


class Answering:
    """For all lines. `drop_discovery` ends what is under way on a line when that has become void."""

    def __init__(self, counters: OcppCounters, drop_discovery: Callable[[Line], None]) -> None:
        self.accepted: set[StationId] = set()
        """Stations whose BootNotification was accepted in this process."""
        self._counters = counters
        self._drop_discovery = drop_discovery
        self._deferred: dict[int, tuple[Line, rpc.IncomingCall]] = {}

    def authorized(self, ticket: int, answer: AuthorizationAnswer) -> Line | None:
        """Answer an Authorize that was `Deferred`; returns its line. One whose line has gone meanwhile is passed over."""
        line, call = self._deferred.pop(ticket, (None, None))
        if line is not None and call is not None:
            line.session.respond(call, line.version.authorized(answer))
        return line

    def forget(self, line: Line) -> None:
        """A line is gone: nobody waits for its answers any more."""
        for ticket in [ticket for ticket, (waiting, _) in self._deferred.items() if waiting is line]:
            del self._deferred[ticket]

    def count_send(self, line: Line, event: rpc.IncomingSend, now_s: float, happened: list[StationEvent]) -> None:
        """Count a message that wants no answer, and what had to be repaired in it."""
        self._counters.requests[event.action] += 1
        if event.salvaged:
            self.count_salvaged(line, event.action, event.salvaged, now_s, happened)

    def count_salvaged(self, line: Line, action: str, salvaged: Iterable[str], now_s: float, happened: list[StationEvent]) -> None:
        """Count a message that was read leniently; each kind of repair is told once a station."""
        self._counters.salvaged += 1
        for repair in salvaged:
            happened += warn_once(line.context, WarningKind.SALVAGED, f"{action}: {repair}", now_s)

    def answer(self, line: Line, call: rpc.IncomingCall, now_s: float, happened: list[StationEvent]) -> None:
        """Let the action's handler answer it. Whatever goes wrong there, the station is answered."""
        action, context = call.action, line.context
        self._counters.requests[action] += 1
        if call.salvaged:
            self.count_salvaged(line, action, call.salvaged, now_s, happened)
        if line.standing is not Standing.ACCEPTED and action != "BootNotification" and action not in line.invited:
            self._turn_away(line, call, now_s, happened)
            return
        try:
            response, events = line.version.routes[action](call.request, context, now_s)
            if type(response) is Deferred:
                self._deferred[response.ticket] = (line, call)
            else:
                line.session.respond(call, response)
        except Exception as error:  # noqa: BLE001  # whatever it is, the station is answered and the others are served
            self._counters.handler_failures += 1
            text = f"{action}: {type(error).__name__}: {error}"
            happened += warn_once(context, WarningKind.HANDLER, text, now_s)
            line.session.respond_error(call, "InternalError", f"{action} could not be processed.")
            return
        happened += events
        for event in events:
            evse_id = getattr(event, "evse_id", 0)
            if evse_id != 0 and evse_id not in line.evse_ids:
                line.mention(EvseId(evse_id))
        if line.car_evses and action in _CAR_ACTIONS:
            line.note_car(action, call.request)
        elif action in _TELLING_ACTIONS:
            self._learn(line, call, response, events, now_s)

    def _learn(self, line: Line, call: rpc.IncomingCall, response: Any, events: list[StationEvent], now_s: float) -> None:
        """What the line itself has to know of a request."""
        if call.action == "BootNotification":
            self._booted(line, _BOOT_STATUSES[response.status], events)
        elif call.action == "NotifyReport":
            if line.discovery is not None:
                line.discovery.reported(call.request, now_s)
        elif call.request.status == "Installed":
            line.learn_again()
            self._drop_discovery(line)

    def _turn_away(self, line: Line, call: rpc.IncomingCall, now_s: float, happened: list[StationEvent]) -> None:
        """B01.FR.10, B02.FR.09, B03.FR.07. One that never booted is asked to, in case it thinks that it has been accepted."""
        line.session.respond_error(call, "SecurityError", "BootNotification has not been accepted yet.")
        if line.standing is Standing.NEW and not line.asked_for_boot:
            line.asks_for_boot = line.asked_for_boot = True
        text = f"{call.action} before an accepted BootNotification."
        happened += warn_once(line.context, WarningKind.NOT_ACCEPTED, text, now_s)

    def _booted(self, line: Line, status: BootStatus, events: list[StationEvent]) -> None:
        line.standing = STANDINGS[status]
        if line.standing is not Standing.ACCEPTED:
            self.accepted.discard(line.station_id)
            return
        self.accepted.add(line.station_id)
        line.invited = NOTHING_INVITED
        identity = next((event.identity for event in events if isinstance(event, StationBooted)), line.context.identity)
        if identity != line.context.identity or line.awaits_reboot:
            # Another model or firmware may be capable of other things, and some settings wait for a reboot: what was learned is void.
            line.context.identity = identity
            line.learn_again()
            self._drop_discovery(line)
