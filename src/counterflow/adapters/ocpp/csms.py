"""The CSMS side of OCPP for a whole fleet, sans-I/O: text and time in; events in our words and text to send out.

The owner of the sockets tells `open`, `receive` and `close`, hands in commands with `submit`, calls `on_deadline` when `next_deadline_s`
has come, and after each of these sends what `take_outbox` returns, in that order (a TransactionEvent's answer once it is durable).
Nothing that a station sends raises here.
"""

import heapq
from collections.abc import Callable
from itertools import count
from typing import assert_never

from msgspec import Struct

from counterflow.adapters.ocpp import events as rpc
from counterflow.adapters.ocpp.answering import Answering
from counterflow.adapters.ocpp.counters import OcppCounters, count_one
from counterflow.adapters.ocpp.discovering import Discovering
from counterflow.adapters.ocpp.discovery.dialogue import Discovery, Errand
from counterflow.adapters.ocpp.handlers.context import StationContext, WarningKind, warn_once
from counterflow.adapters.ocpp.line import Line, Standing, allowed, invited_by, needs_discovery
from counterflow.adapters.ocpp.messages import SetChargingProfileRequest
from counterflow.adapters.ocpp.outcomes import command_result
from counterflow.adapters.ocpp.plain import PLAIN_TYPES
from counterflow.adapters.ocpp.policy import AnswerPolicy, AuthorizationAnswer, BootAnswer, BootStatus, Deferred, NeedsAnswer
from counterflow.adapters.ocpp.profiles import ExpiredError, NotInVersionError, PlacementError
from counterflow.adapters.ocpp.session import Session
from counterflow.adapters.ocpp.settings import SUBPROTOCOLS, OcppSettings
from counterflow.adapters.ocpp.told import TELLING, told_by
from counterflow.adapters.ocpp.versions import VERSIONS
from counterflow.domain.commands import Command, RawCall, ReadProfiles
from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.records import DiscoveryRecord
from counterflow.domain.resources import StationIdentity
from counterflow.domain.setpoints import CommandResult, NothingThere, NotSupported, Offline, Rejected, Superseded
from counterflow.domain.telemetry import (
    CommandCompleted,
    CommandSent,
    ProfilesReported,
    StationConnected,
    StationDisconnected,
    StationEvent,
)

__all__ = [
    "AnswerPolicy",
    "AuthorizationAnswer",
    "BootAnswer",
    "BootStatus",
    "Csms",
    "Deferred",
    "NeedsAnswer",
    "OcppCounters",
    "Outgoing",
]


_CALL, _ANSWER, _CALL_ERROR = b"234"


class Outgoing(Struct, frozen=True, gc=False):
    """One message to send to one station."""

    station_id: StationId
    text: bytes
    is_call: bool
    names_nobody: bool = False
    """It holds no identifier of a person or car, by its type."""


class Csms:
    """All stations. Not thread-safe; every method returns at once, with what happened."""

    def __init__(
        self, settings: OcppSettings, policy: AnswerPolicy, new_message_id: Callable[[], str], lowest_profile_id: int = 1_000_000
    ) -> None:
        """`lowest_profile_id`: ours are not below it; a station where others own such ids is not dispatched (K01.FR.81)."""
        self.counters = OcppCounters()
        self.names_nobody = False
        """The text received last holds no identifier of a person or car, by its type (see `plain`)."""
        self._settings = settings
        self._policy = policy
        self._new_message_id = new_message_id
        self._lines: dict[StationId, Line] = {}
        self._outbox: list[Outgoing] = []
        self._deadlines: list[tuple[float, int, Line]] = []
        self._tickets = count()
        self._discovering = Discovering(settings, self.counters, lowest_profile_id, call=self._call, go_on=self._go_on)
        self._answering = Answering(self.counters, self._discovering.drop)

    # ---- lines

    def open(self, station_id: StationId, subprotocol: str, now_s: float, known: DiscoveryRecord | None = None) -> list[StationEvent]:
        """A station's connection is open. `known` = it was accepted before, and this is what it said then.

        It is served at once, since a reconnect usually comes without BootNotification. An older connection of the same station that is
        still here is closed first. Raises ValueError for a subprotocol that is not served.
        """
        version = VERSIONS.get(subprotocol)
        if version is None:
            raise ValueError(f"{subprotocol!r} is not served; {', '.join(SUBPROTOCOLS)} is.")
        happened = self.close(station_id, now_s, "replaced by a new connection") if station_id in self._lines else []
        session = Session(
            incoming=version.dialect.from_station,
            new_message_id=self._new_message_id,
            call_timeout_s=self._settings.call_timeout_s,
            dialect=version.dialect,
        )
        context = StationContext(
            station_id=station_id,
            policy=self._policy,
            dropped=self.counters.dropped_values,
            identity=StationIdentity.unknown() if known is None else known.identity,
        )
        served = known is not None or station_id in self._answering.accepted
        line = Line(context, session, Standing.ACCEPTED if served else Standing.NEW, version)
        if known is not None and known.evses:
            line.evse_ids = [capability.evse_id for capability in known.evses]
            line.covered = 0 if needs_discovery(known, self._settings, subprotocol) else len(line.evse_ids)
            line.hands_off, line.awaits_reboot = known.hands_off, known.awaits_reboot
            line.know(known.evses)
        self._lines[station_id] = line
        self.counters.lines = len(self._lines)
        happened.append(StationConnected(station_id=station_id, at_s=now_s, subprotocol=subprotocol))
        self._go_on(line, now_s, happened)
        return happened

    def receive(self, station_id: StationId, text: bytes, now_s: float) -> list[StationEvent]:
        """One WebSocket text message of a station. Never raises; a station that is not open is not heard."""
        line = self._lines.get(station_id)
        if line is None:
            self.names_nobody = False
            return []
        names_nobody = False
        happened: list[StationEvent] = []
        session = line.session
        violations = session.violations
        for event in session.receive(text, now_s):
            if type(event) is rpc.IncomingCall:  # the usual case, tested the quick way
                names_nobody = type(event.request) in PLAIN_TYPES
                self._answering.answer(line, event, now_s, happened)
            elif type(event) is rpc.CallDone:
                self._on_done(line, event, now_s, happened)
            else:
                self._on_rpc(line, event, now_s, happened)
        if session.violations != violations:
            self.counters.violations += session.violations - violations
            happened += warn_once(line.context, WarningKind.VIOLATION, session.last_violation, now_s)
        self.names_nobody = names_nobody
        if line.in_flight or not line.is_idle():
            self._go_on(line, now_s, happened)
        else:
            self._collect(line)  # the usual case: an answer goes out, nothing of ours waits
        return happened

    def close(self, station_id: StationId, now_s: float, reason: str) -> list[StationEvent]:
        """The connection is gone: what was in flight has an unknown outcome, what waited never left."""
        line = self._lines.pop(station_id, None)
        if line is None:
            return []
        happened: list[StationEvent] = []
        line.closed = True
        self._answering.forget(line)
        for event in line.session.close(now_s):
            if isinstance(event, rpc.CallDone):
                count_one(self.counters.outcomes, type(event.outcome).__name__)
                if not isinstance(event.context, Discovery) and event.context is not None:
                    self._complete(line, event.context, command_result(event.context, event.outcome), now_s, happened)
        for command in line.queue.drain():
            self._complete(line, command, Offline(), now_s, happened)
        happened.append(StationDisconnected(station_id=station_id, at_s=now_s, reason=reason))
        self.counters.lines = len(self._lines)
        self._discovering.drop(line)
        self._discovering.start_due(now_s, happened)
        return happened

    # ---- commands

    def submit(self, command: Command, now_s: float) -> list[StationEvent]:
        """Queue one command; its end comes as exactly one `CommandCompleted`, at once if the station is not there."""
        happened: list[StationEvent] = []
        line = self._lines.get(command.station_id)
        if line is None:
            return [CommandCompleted(station_id=command.station_id, at_s=now_s, command=command, result=Offline())]
        self._discovering.open_commands += 1
        refusal = self._not_now(line, command)
        if refusal is not None:
            self._complete(line, command, refusal, now_s, happened)
            return happened
        for replaced in line.queue.add(command):
            self._complete(line, replaced, Superseded(), now_s, happened)
        self._go_on(line, now_s, happened)
        return happened

    def _not_now(self, line: Line, command: Command) -> CommandResult | None:
        if isinstance(command, RawCall) and line.queue.is_full():
            return Rejected(reason_code="QueueFull", text="Too many calls wait for this station; try again when they are answered.")
        if allowed(line.standing, command):
            return None
        if isinstance(command, RawCall):
            return Rejected(reason_code="NotAccepted", text="The station has not been accepted yet (B01 to B03): it may not be asked this.")
        return Offline()

    def _complete(self, line: Line, command: Command, result: CommandResult, now_s: float, happened: list[StationEvent]) -> None:
        self._discovering.open_commands -= 1
        happened.append(CommandCompleted(station_id=line.station_id, at_s=now_s, command=command, result=result))
        if isinstance(command, ReadProfiles) and isinstance(result, NothingThere):
            # No report follows a NoProfiles answer (K09), so the empty one is said here.
            happened.append(
                ProfilesReported(
                    station_id=line.station_id,
                    evse_id=EvseId(0),
                    at_s=now_s,
                    request_id=command.request_id,
                    source="",
                    profiles=(),
                    last=True,
                )
            )

    # ---- time and output

    def next_deadline_s(self) -> float | None:
        """When `on_deadline` wants to be called next; it may find nothing to do then. O(1)."""
        deadline_s, turn_s = self._deadlines[0][0] if self._deadlines else None, self._discovering.next_due_s()
        return turn_s if deadline_s is None or (turn_s is not None and turn_s < deadline_s) else deadline_s

    def on_deadline(self, now_s: float) -> list[StationEvent]:
        """Time out what is due."""
        happened: list[StationEvent] = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            at_s, _, line = heapq.heappop(self._deadlines)
            if line.closed or line.heap_at_s != at_s:
                continue  # of an old connection, or an earlier one took its place
            line.heap_at_s = None
            for event in line.session.on_deadline(now_s):
                self._on_rpc(line, event, now_s, happened)
            if line.discovery is not None:
                line.discovery.on_deadline(now_s)
            self._go_on(line, now_s, happened)
        self._discovering.start_due(now_s, happened)
        return happened

    def call_left_late(self, station_id: StationId, now_s: float) -> None:
        """The call in flight left only now (its text waited for the disk): its answer is awaited from now on, so that the next one does
        not go out while the station is still at work on this one."""
        line = self._lines.get(station_id)
        if line is not None:
            line.session.await_from(now_s)

    def take_outbox(self) -> list[Outgoing]:
        """What to send now, oldest first; each is handed out once."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def _go_on(self, line: Line, now_s: float, happened: list[StationEvent]) -> None:
        """After anything happened on a line: send the next call if none is in flight, collect what is to be sent, set the alarm."""
        if not line.in_flight:
            self._send_next(line, now_s, happened)
        self._collect(line)
        deadline_s = line.deadline_s()
        if deadline_s is not None and (line.heap_at_s is None or deadline_s < line.heap_at_s):
            line.heap_at_s = deadline_s
            heapq.heappush(self._deadlines, (deadline_s, next(self._tickets), line))

    def _collect(self, line: Line) -> None:
        for text in line.session.take_outbox():
            kind = text[1]  # the frame's type number, as a character
            if kind == _ANSWER:
                self.counters.answers += 1
            elif kind == _CALL_ERROR:
                self.counters.call_errors += 1
            self._outbox.append(Outgoing(line.station_id, text, kind == _CALL, kind == _CALL and line.call_names_nobody))

    def _send_next(self, line: Line, now_s: float, happened: list[StationEvent]) -> None:
        if line.asks_for_boot:
            line.asks_for_boot = False
            self._call(line, "TriggerMessage", line.version.please_boot, now_s, None)
            return
        while (command := line.queue.pop()) is not None:
            if not allowed(line.standing, command):
                self._complete(line, command, Offline(), now_s, happened)
            elif self._launch(line, command, now_s, happened):
                return
        self._discovering.go_on(line, now_s, happened)

    def _launch(self, line: Line, command: Command, now_s: float, happened: list[StationEvent]) -> bool:
        try:
            if isinstance(command, RawCall):
                self._call(line, command.action, command.payload, now_s, command)
            else:
                action, request = line.version.to_request(command, now_s)
                self._call(line, action, request, now_s, command)
        except ExpiredError:
            self._complete(line, command, Offline(), now_s, happened)
            return False
        except NotInVersionError as error:
            self._complete(line, command, NotSupported(code="NotSupported", text=str(error)), now_s, happened)
            return False
        except PlacementError as error:
            self._complete(line, command, Rejected(reason_code="NotPlaceable", text=str(error)), now_s, happened)
            return False
        except ValueError as error:
            self._complete(line, command, Rejected(reason_code="InvalidRequest", text=str(error)), now_s, happened)
            return False
        happened.append(CommandSent(station_id=line.station_id, at_s=now_s, command=command))
        return True

    def _call(self, line: Line, action: str, request: Struct | dict[str, object], now_s: float, context: object) -> None:
        line.session.call(action, request, now_s, context=context)
        line.in_flight = True
        line.call_names_nobody = type(request) is SetChargingProfileRequest  # what a person typed is a dict, and searched
        if line.standing is not Standing.ACCEPTED:
            line.invited |= invited_by(action, request, line.version.dialect.from_station)
        count_one(self.counters.calls, action)

    def authorized(self, ticket: int, answer: AuthorizationAnswer) -> None:
        """The answer to an Authorize that was `Deferred`. One whose line has gone meanwhile is passed over."""
        line = self._answering.authorized(ticket, answer)
        if line is not None:
            self._collect(line)

    # ---- discovery

    def discover(self, station_id: StationId, errand: Errand, now_s: float) -> list[StationEvent] | None:
        """Ask a station anew, ahead of those that wait; None when it is not connected and accepted. The end is `CapabilitiesDiscovered`."""
        line = self._lines.get(station_id)
        if line is None or line.standing is not Standing.ACCEPTED:
            return None
        happened: list[StationEvent] = []
        self._discovering.begin(line, errand, now_s, happened)
        return happened

    # ---- what stations say

    def _on_rpc(self, line: Line, event: rpc.RpcEvent, now_s: float, happened: list[StationEvent]) -> None:
        match event:
            case rpc.IncomingCall():
                self._answering.answer(line, event, now_s, happened)
            case rpc.IncomingSend():
                self._answering.count_send(line, event, now_s, happened)
            case rpc.CallDone():
                self._on_done(line, event, now_s, happened)
            case rpc.LateAnswer():
                self.counters.late_answers += 1
                text = f"{event.action} was answered after its time-out."
                happened += warn_once(line.context, WarningKind.LATE, text, now_s)
            case rpc.AnswerRefused():
                text = f"The station could not read an answer of ours: {event.code} {event.description}"
                happened += warn_once(line.context, WarningKind.VIOLATION, text, now_s)
            case _:
                assert_never(event)

    def _on_done(self, line: Line, done: rpc.CallDone, now_s: float, happened: list[StationEvent]) -> None:
        line.in_flight = False
        outcome, context = done.outcome, done.context
        count_one(self.counters.outcomes, type(outcome).__name__)
        if isinstance(outcome, rpc.Answered) and outcome.salvaged:
            self._answering.count_salvaged(line, f"answer to {done.action}", outcome.salvaged, now_s, happened)
        if isinstance(context, Discovery):
            if context is line.discovery:
                context.answered(outcome, now_s)
        elif context is not None:
            self._complete(line, context, command_result(context, outcome), now_s, happened)
            if isinstance(context, TELLING) and isinstance(outcome, rpc.Answered):
                happened += told_by(context, outcome.response, now_s)
